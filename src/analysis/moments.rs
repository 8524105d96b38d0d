//! Sums of features of clusters, kept in the memory of the features themselves.
//!
//! A cluster of two or more positions owns at least two rows of float32 features, of which nobody needs the values any more:
//! its float64 sums lie in two of them, low words in one, high words in the other.

use ndarray::Array2;

/// Sums of features of all living nodes, in the memory of the features of single positions.
pub(crate) struct Moments {
    p: usize,
    leaves: usize,
    /// n × P words: the float32 features of a single position, or the low or the high words of the float64 sums of a cluster.
    words: Vec<u32>,
    /// For each merged node, the rows that hold its low and its high words.
    places: Vec<[u32; 2]>,
}

impl Moments {
    pub(crate) fn new(features: Array2<f32>) -> Self {
        let (leaves, p) = features.dim();
        let features = if features.is_standard_layout() {
            features
        } else {
            features.as_standard_layout().into_owned()
        };
        let (mut values, offset) = features.into_raw_vec_and_offset();
        values.drain(..offset.unwrap_or(0));
        values.truncate(leaves * p);
        Moments {
            p,
            leaves,
            words: bytemuck::cast_vec(values),
            places: Vec::new(),
        }
    }

    fn row(&self, r: u32) -> &[u32] {
        let start = r as usize * self.p;
        &self.words[start..start + self.p]
    }

    fn pair_mut(&mut self, a: u32, b: u32) -> (&mut [u32], &mut [u32]) {
        let (a, b, p) = (a as usize * self.p, b as usize * self.p, self.p);
        if a < b {
            let (left, right) = self.words.split_at_mut(b);
            (&mut left[a..a + p], &mut right[..p])
        } else {
            let (left, right) = self.words.split_at_mut(a);
            (&mut right[..p], &mut left[b..b + p])
        }
    }

    /// The rows of a merged node, `None` for a single position.
    fn place(&self, node: usize) -> Option<[u32; 2]> {
        node.checked_sub(self.leaves).map(|m| self.places[m])
    }

    /// Adds up nodes `i` and `j` to the next node, in rows that they leave.
    pub(crate) fn join(&mut self, i: usize, j: usize) {
        let place = match (self.place(i), self.place(j)) {
            (None, None) => {
                let rows = [i as u32, j as u32];
                let (a, b) = self.pair_mut(rows[0], rows[1]);
                for (a, b) in a.iter_mut().zip(b) {
                    (*a, *b) = split(single(*a) + single(*b));
                }
                rows
            }
            (Some(rows), None) | (None, Some(rows)) => {
                let leaf = i.min(j) as u32;
                // The three rows are different: copy the smallest part, one row in pieces.
                let mut piece = [0u32; 64];
                for start in (0..self.p).step_by(piece.len()) {
                    let end = self.p.min(start + piece.len());
                    let piece = &mut piece[..end - start];
                    piece.copy_from_slice(&self.row(leaf)[start..end]);
                    let (low, high) = self.pair_mut(rows[0], rows[1]);
                    for ((l, h), &v) in low[start..end].iter_mut().zip(&mut high[start..end]).zip(&*piece) {
                        (*l, *h) = split(double(*l, *h) + single(v));
                    }
                }
                rows
            }
            (Some(rows), Some(from)) => {
                let mut pieces = [[0u32; 64]; 2];
                for start in (0..self.p).step_by(64) {
                    let end = self.p.min(start + 64);
                    let n = end - start;
                    for (piece, r) in pieces.iter_mut().zip(from) {
                        piece[..n].copy_from_slice(&self.row(r)[start..end]);
                    }
                    let (low, high) = self.pair_mut(rows[0], rows[1]);
                    let source = pieces[0].iter().zip(&pieces[1]);
                    for ((l, h), (&fl, &fh)) in low[start..end].iter_mut().zip(&mut high[start..end]).zip(source) {
                        (*l, *h) = split(double(*l, *h) + double(fl, fh));
                    }
                }
                rows
            }
        };
        self.places.push(place);
    }

    /// The mean features of a node of `size` positions.
    pub(crate) fn mean(&self, node: usize, size: f64, out: &mut [f64]) {
        match self.place(node) {
            None => out.iter_mut().zip(self.row(node as u32)).for_each(|(o, &v)| *o = single(v)),
            Some([low, high]) => {
                let words = self.row(low).iter().zip(self.row(high));
                out.iter_mut().zip(words).for_each(|(o, (&l, &h))| *o = double(l, h) / size);
            }
        }
    }

    /// The squared distances of `mean` from the means of nodes with these numbers of positions, in the order of `nodes`.
    pub(crate) fn distances2(&self, mean: &[f64], nodes: &[u32], size: impl Fn(u32) -> f64, out: &mut Vec<f64>) {
        out.clear();
        out.resize(nodes.len(), 0.0);
        let is_single = |at: &usize| (nodes[*at] as usize) < self.leaves;
        for kind in [true, false] {
            let mut rest = (0..nodes.len()).filter(|at| is_single(at) == kind);
            loop {
                let mut few = [0; TOGETHER];
                let mut count = 0;
                for (place, at) in few.iter_mut().zip(&mut rest) {
                    *place = at;
                    count += 1;
                }
                match few {
                    _ if count == 0 => break,
                    [a, ..] if count == 1 => self.few(mean, nodes, [a], kind, &size, out),
                    [a, b, ..] if count == 2 => self.few(mean, nodes, [a, b], kind, &size, out),
                    [a, b, c, _] if count == 3 => self.few(mean, nodes, [a, b, c], kind, &size, out),
                    all => self.few(mean, nodes, all, kind, &size, out),
                }
            }
        }
    }

    /// [`Moments::distances2`] of `nodes[at]`, all of them single positions or none.
    #[inline(always)]
    fn few<const N: usize>(
        &self,
        mean: &[f64],
        nodes: &[u32],
        at: [usize; N],
        singles: bool,
        size: &impl Fn(u32) -> f64,
        out: &mut [f64],
    ) {
        let sums = if singles {
            let rows = at.map(|at| self.row(nodes[at]));
            sums_in_order::<N>(mean.len(), |m, i| mean[i] - single(rows[m][i]))
        } else {
            let rows = at.map(|at| {
                let [low, high] = self.places[nodes[at] as usize - self.leaves];
                (self.row(low), self.row(high), size(nodes[at]))
            });
            sums_in_order::<N>(mean.len(), |m, i| mean[i] - double(rows[m].0[i], rows[m].1[i]) / rows[m].2)
        };
        for (at, sum) in at.into_iter().zip(sums) {
            out[at] = sum;
        }
    }
}

/// Sums that are worked on together.
const TOGETHER: usize = 4;

/// Σ d(m, i)² of several m, each added up strictly in order of i, as scikit-learn does. The squares are independent, so these vectorise;
/// the additions of one sum wait for each other, those of different sums do not.
#[inline(always)]
fn sums_in_order<const N: usize>(n: usize, d: impl Fn(usize, usize) -> f64) -> [f64; N] {
    const RUN: usize = 16;
    let mut sums = [0.0; N];
    let mut start = 0;
    while start + RUN <= n {
        let mut squares = [[0.0f64; RUN]; N];
        for (m, squares) in squares.iter_mut().enumerate() {
            for (k, s) in squares.iter_mut().enumerate() {
                let v = d(m, start + k);
                *s = v * v;
            }
        }
        for k in 0..RUN {
            for (sum, squares) in sums.iter_mut().zip(&squares) {
                *sum += squares[k];
            }
        }
        start += RUN;
    }
    for i in start..n {
        for (m, sum) in sums.iter_mut().enumerate() {
            let v = d(m, i);
            *sum += v * v;
        }
    }
    sums
}

#[inline(always)]
fn single(word: u32) -> f64 {
    f64::from(f32::from_bits(word))
}
#[inline(always)]
fn double(low: u32, high: u32) -> f64 {
    f64::from_bits(u64::from(high) << 32 | u64::from(low))
}
#[inline(always)]
fn split(v: f64) -> (u32, u32) {
    let bits = v.to_bits();
    (bits as u32, (bits >> 32) as u32)
}
