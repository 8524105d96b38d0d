// Ragged work: `rows` tells which groups belong to which frame, first group ascending.
struct Params {
    groups: u32,  // workgroups that have something to do
    rows: u32,    // rows, without the one that ends the list
    stride: u32,  // words of a frame
}
@group(0) @binding(0) var<uniform> p: Params;

// The row of a group. Rows have about as many groups each, so that it is near its share of the list: a search from there in
// growing steps takes a load or two instead of the logarithm of a long list.
fn row_of(group: u32) -> u32 {
    var low = min(u32(f32(group) * (f32(p.rows) / f32(p.groups))), p.rows - 1u);
    var high = low + 1u;
    var step = 1u;
    if rows[low].x <= group {
        while high < p.rows && rows[high].x <= group {
            low = high;
            high += step;
            step *= 2u;
        }
        high = min(high, p.rows);
    } else {
        // The first row begins with group 0.
        while rows[low].x > group {
            high = low;
            low -= min(low, step);
            step *= 2u;
        }
    }
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
