//! Pixels around a pixel.

/// Pixels (y, x) of an image of h × w pixels at most `reach` from `centre` along both axes, row by row, the centre among them.
pub fn square((y, x): (usize, usize), reach: usize, (h, w): (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    let range = move |at: usize, n: usize| at.saturating_sub(reach)..(at + reach + 1).min(n);
    range(y, h).flat_map(move |v| range(x, w).map(move |u| (v, u)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_end_with_the_image() {
        assert_eq!(square((1, 1), 1, (5, 5)).count(), 9);
        assert_eq!(
            square((0, 4), 1, (5, 5)).collect::<Vec<_>>(),
            [(0, 3), (0, 4), (1, 3), (1, 4)]
        );
        assert_eq!(square((0, 0), 9, (2, 1)).collect::<Vec<_>>(), [(0, 0), (1, 0)]);
    }
}
