//! Which dimensions of a dataset are those of the scan and which those of the frame.

use super::refused::Told;
use hdf5::File;

/// The meaning of a dataset's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// (ny, nx, height, width)
    Scan,
    /// (n, height, width)
    Stack,
    /// (ny, nx, channels): each frame is one row, a spectrum.
    Spectra,
    /// (height, width, n): Velox.
    FramesLast,
}

impl Order {
    /// By the number of dimensions; three are spectra where HyperSpy's axes beside the dataset say that two of them navigate. `None` for
    /// other numbers.
    pub fn of(file: &File, name: &str, rank: usize) -> Option<Order> {
        match rank {
            4 => Some(Order::Scan),
            3 if super::velox::is_image(file, name) => Some(Order::FramesLast),
            3 if navigates(file, name) == [Some(true), Some(true), Some(false)] => Some(Order::Spectra),
            3 => Some(Order::Stack),
            _ => None,
        }
    }

    /// What belongs to (ny, nx, height, width) out of one value for each stored dimension; `None` for a dimension that is not stored.
    pub fn four<T: Clone>(self, stored: &[T]) -> [Option<T>; 4] {
        let at = |i: usize| stored.get(i).cloned();
        match self {
            Order::Scan => [at(0), at(1), at(2), at(3)],
            Order::Stack => [None, at(0), at(1), at(2)],
            Order::Spectra => [at(0), at(1), None, at(2)],
            Order::FramesLast => [None, at(2), at(0), at(1)],
        }
    }

    /// One value for each stored dimension out of those of (ny, nx, height, width).
    pub fn stored<T>(self, [ny, nx, height, width]: [T; 4]) -> Vec<T> {
        match self {
            Order::Scan => vec![ny, nx, height, width],
            Order::Stack => vec![nx, height, width],
            Order::Spectra => vec![ny, nx, width],
            Order::FramesLast => vec![height, width, nx],
        }
    }
}

/// How many of the four axes that HyperSpy keeps beside a dataset navigate, where they say so and it is not the first two.
pub(super) fn navigation_of_no_scan(file: &File, name: &str) -> Option<usize> {
    navigation_other_than_two(&navigates::<4>(file, name))
}

/// How many axes navigate if all four say whether they do, and it is not the first two.
pub(crate) fn navigation_other_than_two(axes: &[Option<bool>]) -> Option<usize> {
    let known: Vec<bool> = axes.iter().copied().collect::<Option<_>>()?;
    (known.len() == 4 && known != [true, true, false, false]).then(|| known.iter().filter(|n| **n).count())
}

/// What HyperSpy's axes beside a dataset say about themselves.
fn navigates<const N: usize>(file: &File, name: &str) -> [Option<bool>; N] {
    let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
    std::array::from_fn(|i| {
        let name = format!("{parent}/axis-{i}");
        file.group(&name).told()?.attr("navigate").told()?.read_scalar().told()
    })
}
