// Ragged work: `rows` tells which groups belong to which frame, first group ascending.
struct Params {
    groups: u32,  // workgroups that have something to do
    rows: u32,    // rows, without the one that ends the list
    stride: u32,  // words of a frame
}
@group(0) @binding(0) var<uniform> p: Params;

// The row of a group.
fn row_of(group: u32) -> u32 {
    var low = 0u;
    var high = p.rows;
    while high - low > 1u {
        let middle = (low + high) / 2u;
        if rows[middle].x <= group {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}
