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

    /// The squared distance of `mean` from the mean of a node of `size` positions.
    pub(crate) fn distance2(&self, mean: &[f64], node: usize, size: f64) -> f64 {
        match self.place(node) {
            None => {
                let row = self.row(node as u32);
                sum_in_order(mean.len(), |i| mean[i] - single(row[i]))
            }
            Some([low, high]) => {
                let (low, high) = (self.row(low), self.row(high));
                sum_in_order(mean.len(), |i| mean[i] - double(low[i], high[i]) / size)
            }
        }
    }
}

/// Σ d(i)² added up strictly in order, as scikit-learn does. The squares of 16 differences are independent, so these
/// vectorise; only the additions wait for each other.
#[inline(always)]
fn sum_in_order(n: usize, d: impl Fn(usize) -> f64) -> f64 {
    let mut sum = 0.0;
    let mut start = 0;
    while start + 16 <= n {
        let mut squares = [0.0f64; 16];
        for (k, s) in squares.iter_mut().enumerate() {
            let v = d(start + k);
            *s = v * v;
        }
        for s in squares {
            sum += s;
        }
        start += 16;
    }
    for i in start..n {
        let v = d(i);
        sum += v * v;
    }
    sum
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
