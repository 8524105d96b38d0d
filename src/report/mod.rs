//! Figures in one style and the report page that holds them. Knows arrays and text, no scans and no devices.
//!
//! Every figure is a struct of borrowed data with a `draw` method that gives a [`Figure`] (RGB pixels);
//! [`Figure::to_png`] encodes it, [`html::Report`] embeds it.
//!
//! ```
//! use emstream::report::{HeatMap, Figure};
//! let map = ndarray::Array2::from_shape_fn((40, 50), |(y, x)| (y * x) as f64);
//! let figure: Figure = HeatMap::new(map.view(), "Products").draw();
//! assert!(figure.width() > 800);
//! assert_eq!(&figure.to_png().unwrap()[1..4], b"PNG");
//! ```

mod canvas;
pub mod colour;
mod condensed;
mod dendrogram;
mod geometry;
mod heatmap;
pub mod html;
mod labels;
mod limits;
mod line;
mod marks;
mod matrix;
mod movie;
mod page;
mod panel;
mod png;
mod rgb;
mod roofline;
mod scalebar;
mod scatter;
mod space;
pub mod ticks;

pub use canvas::Figure;
pub use colour::ColourMap;
pub use condensed::{CondensedPlot, Departure};
pub use dendrogram::Dendrogram;
pub use heatmap::HeatMap;
pub use labels::LabelMap;
pub use limits::Limits;
pub use line::{LinePlot, Mark, MergeDistances, Series};
pub use marks::{Marker, Segment, Vector};
pub use matrix::Matrix;
pub use movie::{Movie, MovieFrame, Picture};
pub use panel::{Panel, Tile};
pub(crate) use png::encode as encode_png;
pub use rgb::{ColourKey, RgbMap};
pub use roofline::{Roof, RoofPoint, Roofline};
pub use scalebar::{ScaleBar, scale_bar};
pub use scatter::Scatter;
pub use space::Broom;
