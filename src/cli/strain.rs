//! `emstream strain`

use super::cluster::Flags;
use super::place::Place;
use super::roi;
use super::scan::{ScanArgs, pair};
use super::session::Session;
use super::{arrays, set};
use clap::ValueEnum;
use emstream::workflows::cluster;
use emstream::workflows::strain::{
    self, Correlation, Given, Indices, Matching, Params, Reference, StrainAxes, Templates, vector,
};
use emstream::{Error, Result, workflows};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Match a lattice in each crystallite and refine it in every frame: lattice, strain and rotation maps
#[derive(clap::Args)]
pub struct Args {
    /// A scan of any format
    scan: PathBuf,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    how: ScanArgs,
    #[command(flatten)]
    cluster: Flags,
    #[command(flatten)]
    flags: LatticeFlags,
}

/// Flags that replace values of [`Params`].
#[derive(clap::Args)]
#[command(next_help_heading = "Lattice and strain")]
struct LatticeFlags {
    /// Peaks of each cluster's log-sum among which its lattice is looked for [default: 20]
    #[arg(long, value_name = "N")]
    lattice_peaks: Option<usize>,
    /// Radius of the disks in pixels, for the template of lattice spots [default: 1.5]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    lattice_radius: Option<f64>,
    /// Outer radius of its subtracted ring [default: 4]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    lattice_radius_outer: Option<f64>,
    /// Another template for lattice spots [default: that of --template, if given]
    #[arg(long, value_name = "SPEC|FILE")]
    lattice_template: Option<String>,
    /// Spots nearer to a lattice site than this belong to the lattice [default: 3]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    tolerance: Option<f64>,
    /// Spots of smaller elevation are ignored [default: 0.1]
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    min_weight: Option<f64>,
    /// Fewer spots are no lattice [default: 3]
    #[arg(long, value_name = "N")]
    min_match: Option<usize>,
    /// How spots are refined [default: auto]
    #[arg(long, value_enum)]
    correlation: Option<CorrelationArg>,
    /// Largest displacement of the sparse form in pixels [default: 3]
    #[arg(long, value_name = "PX")]
    sparse_steps: Option<usize>,
    /// How refined spots become a lattice: without outliers, or all [default: fast]
    #[arg(long = "match", value_enum)]
    matching: Option<MatchArg>,
    /// Refine on a grid N times finer instead of by centre of mass
    #[arg(long, value_name = "N")]
    upsample: Option<u32>,
    /// Lattice indices that are refined, ends included [default: -4..4]
    #[arg(long, value_name = "A..B", allow_hyphen_values = true)]
    indices: Option<Indices>,
    /// Where the direct beam is; with --a and --b: the lattice of all clusters, instead of looking for it
    #[arg(long, value_name = "Y,X", allow_hyphen_values = true, value_parser = vector)]
    zero: Option<[f64; 2]>,
    /// Lattice vector a
    #[arg(long, value_name = "Y,X", allow_hyphen_values = true, value_parser = vector)]
    a: Option<[f64; 2]>,
    /// Lattice vector b
    #[arg(long, value_name = "Y,X", allow_hyphen_values = true, value_parser = vector)]
    b: Option<[f64; 2]>,
    /// What strain is relative to: cluster-median, roi:SPEC or vectors:AY,AX,BY,BX [default: cluster-median]
    #[arg(long, value_name = "REFERENCE")]
    reference: Option<Reference>,
    /// Axes of the strain tensor, before the lattice turned from its reference: detector, an angle in degrees from +x towards +y, or a [default: detector]
    #[arg(long, value_name = "detector|DEG|a", allow_hyphen_values = true)]
    strain_axes: Option<StrainAxes>,
    /// Frames with fewer matched spots are not trusted [default: 5]
    #[arg(long, value_name = "N")]
    min_spots: Option<usize>,
    /// Frames whose spots are further from the lattice, on average, are not trusted [default: 1]
    #[arg(long, value_name = "PX", allow_negative_numbers = true)]
    max_error: Option<f64>,
    /// Keep the refined spots of every frame in the result
    #[arg(long)]
    save_peaks: bool,
    /// Scan position of the sample frame in the figures [default: the middle of the largest cluster]
    #[arg(long, value_name = "Y,X")]
    show: Option<String>,
    /// Limits of a map in the figures, e.g. xx=-0.02,0.02 (angles in degrees); repeat for more
    #[arg(long, value_name = "NAME=LO,HI")]
    range: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum CorrelationArg {
    /// Joint for plain disks where it is the more certain one, else fast
    Auto,
    /// In crops around the expected positions
    Fast,
    /// Once in the whole frame
    Full,
    /// Direct sums at small displacements
    Sparse,
    /// Fast, then all disks of a frame fitted at once, which must be plain disks
    Joint,
}

#[derive(Clone, Copy, ValueEnum)]
enum MatchArg {
    Fast,
    Affine,
}

impl LatticeFlags {
    fn apply(self, p: &mut Params) -> Result<()> {
        set(&mut p.lattice_peaks, self.lattice_peaks);
        set(&mut p.lattice_radius, self.lattice_radius);
        set(&mut p.lattice_radius_outer, self.lattice_radius_outer);
        set(&mut p.tolerance, self.tolerance);
        set(&mut p.min_weight, self.min_weight);
        set(&mut p.min_match, self.min_match);
        set(
            &mut p.correlation,
            self.correlation.map(|c| match c {
                CorrelationArg::Auto => Correlation::Auto,
                CorrelationArg::Fast => Correlation::Fast,
                CorrelationArg::Full => Correlation::Full,
                CorrelationArg::Sparse => Correlation::Sparse,
                CorrelationArg::Joint => Correlation::Joint,
            }),
        );
        set(&mut p.sparse_steps, self.sparse_steps);
        set(
            &mut p.matching,
            self.matching.map(|m| match m {
                MatchArg::Fast => Matching::Fast,
                MatchArg::Affine => Matching::Affine,
            }),
        );
        set(&mut p.indices, self.indices);
        set(&mut p.reference, self.reference);
        set(&mut p.strain_axes, self.strain_axes);
        set(&mut p.min_spots, self.min_spots);
        set(&mut p.max_error, self.max_error);
        p.lattice_template = self.lattice_template.or(p.lattice_template.take());
        p.upsample = self.upsample.or(p.upsample);
        p.zero = self.zero.or(p.zero);
        p.a = self.a.or(p.a);
        p.b = self.b.or(p.b);
        p.save_peaks |= self.save_peaks;
        if let Some(show) = &self.show {
            p.show = Some(pair("--show", show)?);
        }
        for text in &self.range {
            let wrong = || Error::parameter("--range", format!("'{text}' is not NAME=LO,HI"));
            let (name, limits) = text.split_once('=').ok_or_else(wrong)?;
            p.range.insert(name.trim().to_owned(), vector(limits).map_err(|_| wrong())?);
        }
        Ok(())
    }
}

/// A parameter file: how the scan was read, and what was done.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ParamsFile {
    scan: ScanArgs,
    cluster: cluster::Params,
    strain: Params,
}

pub fn run(args: Args, session: &Session) -> Result<()> {
    let file: ParamsFile = args.place.parameters()?;
    let how = args.how.or(file.scan);
    let (mut clustering, mut params) = (file.cluster, file.strain);
    args.cluster.apply(&mut clustering);
    args.flags.apply(&mut params)?;
    params.check()?;

    let dir = args.place.folder(session)?;
    let templates = Templates {
        cluster: clustering.template(arrays::image)?,
        lattice: params.template(&clustering, arrays::image)?,
    };
    let mut given = Given {
        clustering: cluster::Given {
            peaks: clustering.peaks.as_deref().map(arrays::positions).transpose()?,
            labels: clustering.labels.as_deref().map(arrays::labels).transpose()?,
        },
        region: None,
    };
    let (scan, selection) = how.open(&args.scan, session)?;
    if let Reference::Region(spec) = &params.reference {
        given.region = Some(roi::parse(spec, scan.info().nav)?);
    }
    let backend = session.backend()?;
    let result = strain::run(
        &*scan,
        selection,
        templates,
        given,
        &clustering,
        &params,
        &backend,
        &session.control,
    )?;
    for w in &result.clustering.warnings {
        log::warn!("{}: {w}", args.scan.display());
    }
    let effective = workflows::to_toml(&ParamsFile {
        scan: how,
        cluster: clustering,
        strain: params.clone(),
    })?;
    let folder = strain::write(&result, &params, &*scan, &backend, &effective, dir)?;
    let lattices = result.clusters.iter().filter(|c| !c.matches.is_empty()).count();
    said!(
        session,
        "lattices in {lattices} of {} clusters; {}",
        result.clusters.len(),
        folder.join("report.html").display()
    );
    Ok(())
}
