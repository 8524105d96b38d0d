// Teams of threads inside a workgroup of THREADS (a power of two), TEAMS of them.
const TEAM = THREADS / TEAMS;
const NONE = 0xffffffffu;

var<workgroup> sh_team: array<u32, THREADS / 2u>;

// The least number of the team, for all its threads. All threads of the workgroup must come here.
fn team_least(local: u32, own: u32) -> u32 {
    let lane = local % TEAM;
    let at = local / TEAM * (TEAM / 2u);
    if lane >= TEAM / 2u {
        sh_team[at + lane - TEAM / 2u] = own;
    }
    workgroupBarrier();
    if lane < TEAM / 2u {
        sh_team[at + lane] = min(sh_team[at + lane], own);
    }
    workgroupBarrier();
    for (var half = TEAM / 4u; half > 0u; half >>= 1u) {
        if lane < half {
            sh_team[at + lane] = min(sh_team[at + lane], sh_team[at + lane + half]);
        }
        workgroupBarrier();
    }
    let least = sh_team[at];
    workgroupBarrier();
    return least;
}

// Numbers whose order is the opposite of that of floats; 0 and -0 are one.
fn descending(v: f32) -> u32 {
    let bits = bitcast<u32>(select(v, 0.0, v == 0.0));
    return select(~(bits | 0x80000000u), bits, (bits & 0x80000000u) != 0u);
}
