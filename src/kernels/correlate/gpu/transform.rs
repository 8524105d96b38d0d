//! Complex transforms of many lines in workgroup memory, written out as WGSL for one length.
//!
//! The same Stockham form, factors and order of additions as [`crate::backend::cpu::fft`], in one buffer: every thread takes its butterflies
//! into registers, all wait (but for the last pass), every thread writes. Butterflies are unrolled text, since registers cannot be indexed.

use std::collections::BTreeSet;
use std::fmt::Write;

/// Transforms of `lines` lines of `n` numbers of `sh_data`, `element` apart, lines `line` apart, by a workgroup of `threads`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transform {
    pub n: usize,
    pub lines: usize,
    pub element: usize,
    pub line: usize,
    pub threads: usize,
    /// Where e^(−2πij/n) for j < n begins in `roots`.
    pub roots: usize,
}

/// Factors of a smooth length in the order of the passes.
fn radices(n: usize) -> Vec<usize> {
    let mut rest = n;
    let mut all = Vec::new();
    for p in [13, 11, 7, 5, 4, 3, 2] {
        while rest.is_multiple_of(p) {
            all.push(p);
            rest /= p;
        }
    }
    all
}

/// e^(−2πij/n) for all j < n.
pub(super) fn roots(n: usize) -> impl Iterator<Item = [f32; 2]> {
    (0..n).map(move |j| {
        let (s, c) = (std::f64::consts::TAU * j as f64 / n as f64).sin_cos();
        [c as f32, -s as f32]
    })
}

/// `sh_data` of `size` complex numbers and the functions `fn name(local: u32)` of each transform.
pub(super) fn wgsl(size: usize, transforms: &[(&str, Transform)]) -> String {
    let mut out = format!(
        "var<workgroup> sh_data: array<vec2<f32>, {size}>;\n\
         fn times(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {{\n    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);\n}}\n"
    );
    let used: BTreeSet<usize> = transforms.iter().flat_map(|(_, t)| radices(t.n)).collect();
    for p in used {
        butterfly(&mut out, p);
    }
    for (name, t) in transforms {
        let _ = writeln!(out, "fn {name}(local: u32) {{");
        let mut stride = 1;
        for p in radices(t.n) {
            pass(&mut out, t, p, stride);
            stride *= p;
        }
        out += "}\n";
    }
    out
}

/// One pass: butterflies of radix `p` whose sub-transforms lie `stride` side by side.
fn pass(out: &mut String, t: &Transform, p: usize, stride: usize) {
    let per = t.n / p;
    let total = t.lines * per;
    let batch = total.div_ceil(t.threads);
    *out += "    {\n";
    for b in 0..batch {
        // Neighbouring threads take neighbouring numbers.
        let (line, j) = if t.line < t.element {
            (format!("i{b} % {}u", t.lines), format!("i{b} / {}u", t.lines))
        } else {
            (format!("i{b} / {per}u"), format!("i{b} % {per}u"))
        };
        let _ = writeln!(
            out,
            "    let i{b} = local + {}u;\n    let l{b} = ({line}) * {}u;\n    let j{b} = {j};\n    var t{b}: array<vec2<f32>, {p}>;\n    \
             if i{b} < {total}u {{",
            b * t.threads,
            t.line,
        );
        for r in 0..p {
            let _ = writeln!(
                out,
                "        t{b}[{r}] = sh_data[l{b} + (j{b} + {}u) * {}u];",
                r * per,
                t.element
            );
        }
        let _ = writeln!(out, "        butterfly{p}(&t{b});");
        // In the last pass all factors are 1.
        if stride * p < t.n {
            let _ = writeln!(out, "        let w{b} = j{b} / {stride}u * {stride}u;");
            for r in 1..p {
                let _ = writeln!(
                    out,
                    "        t{b}[{r}] = times(t{b}[{r}], roots[{}u + {r}u * w{b}]);",
                    t.roots
                );
            }
        }
        *out += "    }\n";
    }
    // In the last pass every thread writes where it has read.
    if stride * p < t.n {
        *out += "    workgroupBarrier();\n";
    }
    for b in 0..batch {
        let _ = writeln!(
            out,
            "    if i{b} < {total}u {{\n        let to = l{b} + (j{b} % {stride}u + j{b} / {stride}u * {}u) * {}u;",
            stride * p,
            t.element
        );
        for r in 0..p {
            let _ = writeln!(out, "        sh_data[to + {}u] = t{b}[{r}];", r * stride * t.element);
        }
        *out += "    }\n";
    }
    *out += "    workgroupBarrier();\n    }\n";
}

/// The function of one butterfly.
fn butterfly(out: &mut String, p: usize) {
    let _ = writeln!(out, "fn butterfly{p}(t: ptr<function, array<vec2<f32>, {p}>>) {{");
    match p {
        2 => *out += "    let a = (*t)[0];\n    let b = (*t)[1];\n    (*t)[0] = a + b;\n    (*t)[1] = a - b;\n",
        4 => {
            *out += "    let a = (*t)[0] + (*t)[2];\n    let b = (*t)[0] - (*t)[2];\n    let c = (*t)[1] + (*t)[3];\n    \
                     let d = (*t)[1] - (*t)[3];\n    let e = vec2<f32>(d.y, -d.x);\n    \
                     (*t)[0] = a + c;\n    (*t)[1] = b + e;\n    (*t)[2] = a - c;\n    (*t)[3] = b - e;\n";
        }
        p => odd(out, p),
    }
    *out += "}\n";
}

/// Prime lengths: outputs j and p − j share their products with cosines and sines.
fn odd(out: &mut String, p: usize) {
    let half = p / 2;
    *out += "    let first = (*t)[0];\n    var total = first;\n";
    for k in 1..=half {
        let _ = writeln!(
            out,
            "    let s{k} = (*t)[{k}] + (*t)[{0}];\n    let d{k} = (*t)[{k}] - (*t)[{0}];\n    total += s{k};",
            p - k
        );
    }
    *out += "    (*t)[0] = total;\n";
    for j in 1..=half {
        let _ = writeln!(out, "    var even{j} = first;\n    var odd{j} = vec2<f32>(0.0);");
        for k in 1..=half {
            let (s, c) = (std::f64::consts::TAU * (j * k % p) as f64 / p as f64).sin_cos();
            let _ = writeln!(
                out,
                "    even{j} += s{k} * f32({:?});\n    odd{j} += d{k} * f32({:?});",
                c as f32, s as f32
            );
        }
        let _ = writeln!(
            out,
            "    (*t)[{j}] = vec2<f32>(even{j}.x + odd{j}.y, even{j}.y - odd{j}.x);\n    \
             (*t)[{}] = vec2<f32>(even{j}.x - odd{j}.y, even{j}.y + odd{j}.x);",
            p - j
        );
    }
}
