//! `emstream template`

use super::arrays;
use super::session::Session;
use emstream::analysis::template::Template;
use emstream::io::{array, output};
use emstream::report::{ColourMap, HeatMap, Limits};
use emstream::{Error, Result};
use std::path::PathBuf;

/// Show and save a match template: disk:R, ring:R1,R2, gradient:R, background:R,RO, gradient-background:R,RO,
/// bullseye:RII,RI,RO,ROO[,cross=W][,size=N], probe:FILE[/DATASET]@Y,X,N (a vacuum probe) or an image (.npy, .tif, .png)
#[derive(clap::Args)]
pub struct Args {
    /// Which template: one of the forms above
    spec: String,
    /// Output: .npy or .png
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let template = Template::parse(&args.spec, arrays::image)?;
    let stamp = template.stamp();
    match args.output.extension().and_then(|e| e.to_str()) {
        Some("npy") => array::save_npy(&args.output, stamp.view(), session.overwrite)?,
        Some("png") => {
            let mut map = HeatMap::new(stamp.view(), &args.spec);
            map.colours = ColourMap::Diverging;
            map.limits = Limits::SymmetricAboutZero;
            output::write_file(&args.output, session.overwrite, &map.draw().to_png()?)?;
        }
        _ => return Err(Error::parameter("--output", "the name must end in .npy or .png")),
    }
    let (h, w) = stamp.dim();
    said!(
        session,
        "{h} × {w} pixels, sum {:.6}, search range {:.2} px",
        stamp.sum(),
        template.search()
    );
    Ok(())
}
