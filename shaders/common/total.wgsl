// Sums over a workgroup of 256 threads, always in the same order. The host says what a Sum is: a float or several.
var<workgroup> sh_sums: array<Sum, 256>;

// The sum of what all threads bring, for all of them. All threads of the workgroup must come here.
fn total(local: u32, sum: Sum) -> Sum {
    workgroupBarrier();
    sh_sums[local] = sum;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half >>= 1u) {
        if local < half {
            sh_sums[local] += sh_sums[local + half];
        }
        workgroupBarrier();
    }
    return sh_sums[0];
}
