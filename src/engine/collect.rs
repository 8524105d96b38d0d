//! Where parts come together: the fixed binary tree of leaves, rows of per-frame values, an ordered sink.

use crate::backend::cpu::pages::zeros;
use crate::backend::stage::Merge;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Takes the parts of one operator and makes its output. Parts may come in any order.
pub trait Collector: Send {
    type Part;
    type Output;
    /// What leaf number `leaf` contributed.
    fn leaf(&mut self, leaf: u64, part: Self::Part) -> Result<()>;
    /// Exact state of one worker or device, for any set of frames.
    fn rest(&mut self, part: Self::Part) -> Result<()>;
    fn finish(self: Box<Self>) -> Result<Self::Output>;
}

/// Merges leaves in the binary tree given by their numbers: two subtrees join as soon as both are there, left
/// before right, so the result depends on the number of leaves alone and at most O(gaps · log n) parts wait.
pub struct LeafTree<P> {
    /// Complete subtrees by (level, number at that level).
    waiting: BTreeMap<(u32, u64), P>,
}

impl<P: Merge> LeafTree<P> {
    pub fn new() -> Self {
        LeafTree {
            waiting: BTreeMap::new(),
        }
    }

    /// Adds leaf `number`.
    pub fn put(&mut self, number: u64, part: P) {
        let (mut level, mut number, mut part) = (0, number, part);
        while let Some(sibling) = self.waiting.remove(&(level, number ^ 1)) {
            let (mut left, right) = if number & 1 == 0 { (part, sibling) } else { (sibling, part) };
            left.merge(right);
            (level, number, part) = (level + 1, number >> 1, left);
        }
        self.waiting.insert((level, number), part);
    }

    /// Joins the remaining subtrees, smallest (rightmost) first. `None` if there was no leaf.
    pub fn finish(self) -> Option<P> {
        // What remains of n leaves are the subtrees of n's binary digits; lower levels hold later leaves.
        let mut parts = self.waiting.into_values();
        let mut right = parts.next()?;
        for mut left in parts {
            left.merge(right);
            right = left;
        }
        Some(right)
    }
}

impl<P: Merge> Default for LeafTree<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// Collector for frame-shaped reductions: leaves through the tree, exact state in any order.
pub struct Fold<P> {
    tree: LeafTree<P>,
    exact: Option<P>,
}

impl<P: Merge> Fold<P> {
    pub fn new() -> Self {
        Fold {
            tree: LeafTree::new(),
            exact: None,
        }
    }
    /// With a part of no frames, for kernels that may give none.
    pub fn from_empty(empty: P) -> Self {
        Fold {
            tree: LeafTree::new(),
            exact: Some(empty),
        }
    }
}

impl<P: Merge> Default for Fold<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Merge + Send> Collector for Fold<P> {
    type Part = P;
    type Output = P;
    fn leaf(&mut self, leaf: u64, part: P) -> Result<()> {
        self.tree.put(leaf, part);
        Ok(())
    }
    fn rest(&mut self, part: P) -> Result<()> {
        match &mut self.exact {
            None => self.exact = Some(part),
            Some(e) => e.merge(part),
        }
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<P> {
        let mut all = self.tree.finish();
        match (&mut all, self.exact) {
            (Some(a), Some(e)) => a.merge(e),
            (None, e) => all = e,
            _ => {}
        }
        all.ok_or_else(|| Error::Internal("a pass without frames".into()))
    }
}

/// Collector for a fixed number of values per frame: `frames × width`, in selection order.
pub struct Rows<P> {
    width: usize,
    values: Vec<f32>,
    split: fn(P) -> (u64, Vec<f32>),
}

impl<P> Rows<P> {
    /// `frames × width` values; `split` takes a part apart into its first frame and its values.
    pub fn new(frames: u64, width: usize, split: fn(P) -> (u64, Vec<f32>)) -> Self {
        Rows {
            width,
            values: zeros(frames as usize * width),
            split,
        }
    }
}

impl<P> Collector for Rows<P> {
    type Part = P;
    type Output = Vec<f32>;
    fn leaf(&mut self, _: u64, part: P) -> Result<()> {
        let (first, values) = (self.split)(part);
        let start = first as usize * self.width;
        let rows = self.values.get_mut(start..start + values.len());
        rows.ok_or_else(|| Error::Internal(format!("values of frame {first} lie outside the selection")))?
            .copy_from_slice(&values);
        Ok(())
    }
    fn rest(&mut self, part: P) -> Result<()> {
        self.leaf(0, part)
    }
    fn finish(self: Box<Self>) -> Result<Vec<f32>> {
        Ok(self.values)
    }
}

/// Takes mapped frames in selection order, as values of type `T`.
pub trait FrameSink<T = f32>: Send {
    /// Frames of `values.len() / count` values each, from number `first` of the selection on.
    fn put(&mut self, first: u64, count: usize, values: &[T]) -> Result<()>;
    /// The pass starts over (a device was lost): forget everything.
    fn restart(&mut self) -> Result<()>;
}

/// Collector that hands frames to a sink in order; early ones wait (the engine bounds how far workers run ahead).
pub struct Ordered<P, T = f32> {
    next: u64,
    waiting: BTreeMap<u64, (usize, Vec<T>)>,
    split: fn(P) -> (u64, usize, Vec<T>),
    sink: SharedSink<T>,
}

/// A sink that an operator and its collectors share.
pub type SharedSink<T = f32> = std::sync::Arc<std::sync::Mutex<Box<dyn FrameSink<T>>>>;

impl<P, T> Ordered<P, T> {
    /// `split` takes a part apart into first frame, number of frames, values.
    ///
    /// # Errors
    /// What [`FrameSink::restart`] says.
    pub fn new(sink: SharedSink<T>, split: fn(P) -> (u64, usize, Vec<T>)) -> Result<Self> {
        lock(&sink).restart()?;
        Ok(Ordered {
            next: 0,
            waiting: BTreeMap::new(),
            split,
            sink,
        })
    }
}

fn lock<T>(sink: &SharedSink<T>) -> std::sync::MutexGuard<'_, Box<dyn FrameSink<T>>> {
    sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<P, T: Send> Collector for Ordered<P, T> {
    type Part = P;
    type Output = ();
    fn leaf(&mut self, _: u64, part: P) -> Result<()> {
        let (first, count, values) = (self.split)(part);
        self.waiting.insert(first, (count, values));
        while let Some((count, values)) = self.waiting.remove(&self.next) {
            lock(&self.sink).put(self.next, count, &values)?;
            self.next += count as u64;
        }
        Ok(())
    }
    fn rest(&mut self, part: P) -> Result<()> {
        self.leaf(0, part)
    }
    fn finish(self: Box<Self>) -> Result<()> {
        if self.waiting.is_empty() {
            Ok(())
        } else {
            Err(Error::Internal(format!("frame {} never came", self.next)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Remembers how it was put together.
    #[derive(Debug, PartialEq, Clone)]
    struct Shape(String);
    impl Merge for Shape {
        fn merge(&mut self, right: Shape) {
            self.0 = format!("({}{})", self.0, right.0);
        }
    }

    #[test]
    fn tree_depends_on_numbers_not_on_arrival() {
        for n in 1..20u64 {
            let mut orders: Vec<Vec<u64>> = vec![(0..n).collect(), (0..n).rev().collect()];
            orders.push(
                (0..n)
                    .map(|i| (i * 7 + 3) % n)
                    .collect::<std::collections::BTreeSet<_>>()
                    .into_iter()
                    .rev()
                    .collect(),
            );
            let trees: Vec<Option<Shape>> = orders
                .iter()
                .filter(|o| o.len() as u64 == n)
                .map(|order| {
                    let mut t = LeafTree::new();
                    order.iter().for_each(|&i| t.put(i, Shape(i.to_string())));
                    t.finish()
                })
                .collect();
            assert!(trees.windows(2).all(|w| w[0] == w[1]), "{n} leaves: {trees:?}");
        }
        let mut t = LeafTree::new();
        [4, 1, 0, 3, 2].iter().for_each(|&i| t.put(i, Shape(i.to_string())));
        assert_eq!(t.finish(), Some(Shape("(((01)(23))4)".into())));
    }
}
