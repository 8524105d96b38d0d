//! A block in rounds: which frames, windows and images are worked on together.

use crate::kernels::correlate::Plan;

/// Rows of one round at most.
pub(super) const MOST_ROWS: usize = 1 << 16;

/// How windows share workgroups and rounds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// Each window alone.
    Single { windows: usize },
    /// Windows of a frame by two.
    Pairs { windows: usize },
    /// Windows of a frame by two, each an image of its own.
    Images { pairs: usize },
    /// Whole frames by two, by their number in the selection.
    Frames { pairs: usize },
}

impl Rule {
    /// Most windows of a round, if no frame has more than `most`.
    pub(super) fn most_windows(self, most: usize) -> usize {
        match self {
            Rule::Single { windows } | Rule::Pairs { windows } => windows,
            Rule::Images { pairs } => 2 * pairs,
            Rule::Frames { pairs } => 2 * pairs * most,
        }
        .max(1)
    }
}

/// What is worked on together.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Round {
    /// First workgroup (or window), frame in the block (or first image), first position, first peak. A last row ends the list.
    pub rows: Vec<[u32; 4]>,
    /// Frame in the block (−1: none), position of the first pixel; pairs are neighbours.
    pub images: Vec<[i32; 4]>,
    pub groups: usize,
    pub windows: usize,
}

const NO_IMAGE: [i32; 4] = [-1, 0, 0, 0];

/// Cuts the frames `first .. first + count` of the selection into rounds. `starts`: where each label's positions begin.
pub(super) fn rounds(plan: &Plan, starts: &[u32], rule: Rule, first: u64, count: usize) -> Vec<Round> {
    let mut all = Rounds {
        done: Vec::new(),
        now: Round::default(),
    };
    match rule {
        Rule::Frames { pairs } => {
            let mut i = 0;
            while i < count {
                // A block that begins with the second frame of a pair lacks the first.
                let even = (first + i as u64).is_multiple_of(2);
                let members = if even { [Some(i), Some(i + 1)] } else { [None, Some(i)] };
                all.frames(plan, starts, pairs, members.map(|m| m.filter(|&m| m < count)), first);
                i += if even { 2 } else { 1 };
            }
        }
        _ => {
            for i in 0..count {
                all.crops(plan, starts, rule, first, i);
            }
        }
    }
    all.cut();
    all.done
}

struct Rounds {
    done: Vec<Round>,
    now: Round,
}

/// Where the positions of selected frame `n` begin.
fn start(plan: &Plan, starts: &[u32], n: u64) -> u32 {
    let label = usize::try_from(n).ok().and_then(|n| plan.params.labels.get(n));
    let start = label.and_then(|&l| usize::try_from(l).ok()).and_then(|l| starts.get(l));
    start.copied().unwrap_or(0)
}

impl Rounds {
    /// Ends the round.
    fn cut(&mut self) {
        let mut round = std::mem::take(&mut self.now);
        if round.windows > 0 {
            round.rows.push([round.groups as u32, 0, 0, round.windows as u32]);
            self.done.push(round);
        }
    }

    /// Windows of frame `i` of the block, a few rounds if need be.
    fn crops(&mut self, plan: &Plan, starts: &[u32], rule: Rule, first: u64, i: usize) {
        let expected = plan.expected(first + i as u64);
        let from = start(plan, starts, first + i as u64);
        let before = plan.reach().1 as i32;
        let mut next = 0;
        while next < expected.len() {
            let room = match rule {
                Rule::Single { windows } | Rule::Pairs { windows } => windows.saturating_sub(self.now.windows),
                Rule::Images { pairs } | Rule::Frames { pairs } => (2 * pairs).saturating_sub(self.now.images.len()),
            };
            let left = expected.len() - next;
            // Pairs are by number in the frame: none may be cut.
            let take = match rule {
                Rule::Single { .. } => left.min(room),
                _ if left <= room => left,
                _ => room / 2 * 2,
            };
            if take == 0 || self.now.rows.len() + 1 >= MOST_ROWS {
                self.cut();
                continue;
            }
            let now = &mut self.now;
            let second = match rule {
                Rule::Images { .. } => now.images.len(),
                _ => i,
            };
            now.rows
                .push([now.groups as u32, second as u32, from + next as u32, now.windows as u32]);
            now.windows += take;
            match rule {
                Rule::Pairs { .. } => now.groups += take.div_ceil(2),
                Rule::Single { .. } | Rule::Frames { .. } => now.groups += take,
                Rule::Images { .. } => {
                    now.groups += take;
                    let corners = expected[next..next + take].iter();
                    now.images
                        .extend(corners.map(|p| [i as i32, p[0] - before, p[1] - before, 0]));
                    if take % 2 == 1 {
                        now.images.push(NO_IMAGE);
                    }
                }
            }
            next += take;
        }
    }

    /// A pair of whole frames.
    fn frames(&mut self, plan: &Plan, starts: &[u32], pairs: usize, members: [Option<usize>; 2], first: u64) {
        let expected = members.map(|m| m.map_or(0, |i| plan.expected(first + i as u64).len()));
        if expected == [0, 0] {
            return;
        }
        if self.now.images.len() >= 2 * pairs || self.now.rows.len() + 2 >= MOST_ROWS {
            self.cut();
        }
        let now = &mut self.now;
        for (member, count) in members.into_iter().zip(expected) {
            let image = now.images.len() as u32;
            match member {
                Some(i) if count > 0 => {
                    let from = start(plan, starts, first + i as u64);
                    now.images.push([i as i32, 0, 0, 0]);
                    now.rows.push([now.windows as u32, image, from, now.windows as u32]);
                    now.windows += count;
                    now.groups += count;
                }
                _ => now.images.push(NO_IMAGE),
            }
        }
    }
}
