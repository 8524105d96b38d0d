//! Which point of a map an image belongs to, by its name.

use crate::error::{Error, Result};

/// How names tell positions.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Names {
    /// The last two numbers of a name are row and column, or column and row where they are marked x and y.
    Usual,
    /// `{row}` and `{col}` stand for numbers, `*` for anything else.
    Template(Vec<Part>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Text(String),
    Anything,
    Row,
    Column,
}

impl Names {
    /// The usual names, or those of a template like `*_x{col}y{row}` (without the ending of the file).
    ///
    /// # Errors
    /// [`Error::Parameter`] if the template does not hold `{row}` and `{col}` once each.
    pub fn new(template: Option<&str>) -> Result<Names> {
        let Some(template) = template else { return Ok(Names::Usual) };
        let mut parts = Vec::new();
        let mut rest = template;
        while !rest.is_empty() {
            let special = [("{row}", Part::Row), ("{col}", Part::Column), ("*", Part::Anything)];
            if let Some((text, part)) = special.into_iter().find(|(text, _)| rest.starts_with(text)) {
                parts.push(part);
                rest = &rest[text.len()..];
                continue;
            }
            let next = rest.char_indices().nth(1).map_or(rest.len(), |(i, _)| i);
            let (one, after) = rest.split_at(next);
            match parts.last_mut() {
                Some(Part::Text(text)) => text.push_str(one),
                _ => parts.push(Part::Text(one.to_owned())),
            }
            rest = after;
        }
        let once = |p: Part| parts.iter().filter(|q| **q == p).count() == 1;
        if !once(Part::Row) || !once(Part::Column) {
            let what = format!("'{template}' must hold {{row}} and {{col}} once each, e.g. '{{row}}_{{col}}'");
            return Err(Error::parameter("--names", what));
        }
        Ok(Names::Template(parts))
    }

    /// Row and column by a name without its ending.
    pub fn position(&self, stem: &str) -> Option<[usize; 2]> {
        match self {
            Names::Usual => usual(stem),
            Names::Template(parts) => {
                let mut at = [None; 2];
                matches(parts, stem, &mut at).then_some([at[0]?, at[1]?])
            }
        }
    }
}

/// Where the numbers of a name are, as byte ranges.
fn numbers(stem: &str) -> Vec<(usize, usize)> {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    for (i, _) in stem.bytes().enumerate().filter(|(_, b)| b.is_ascii_digit()) {
        match groups.last_mut() {
            Some((_, end)) if *end == i => *end = i + 1,
            _ => groups.push((i, i + 1)),
        }
    }
    groups
}

/// The last two numbers of a name.
fn usual(stem: &str) -> Option<[usize; 2]> {
    let groups = numbers(stem);
    let &[.., first, second] = groups.as_slice() else {
        return None;
    };
    let value = |(a, b): (usize, usize)| stem.get(a..b)?.parse::<usize>().ok();
    // The word before a number, and what separates them: `x3`, `col_003`, `X=3`.
    let mark = |(a, _): (usize, usize)| {
        let before = stem.get(..a).unwrap_or("").trim_end_matches(|c: char| !c.is_alphanumeric());
        let word = before.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        before.strip_prefix(word).unwrap_or("").to_ascii_lowercase()
    };
    let (marked_first, marked_second) = (mark(first), mark(second));
    let column = ["x", "c", "col", "column"].contains(&marked_first.as_str());
    let row = ["y", "r", "row", "line"].contains(&marked_second.as_str());
    let (a, b) = (value(first)?, value(second)?);
    let reversed = column && row || marked_first.ends_with('x') && marked_second == "y";
    Some(if reversed { [b, a] } else { [a, b] })
}

/// Positions of images that are numbered row by row, from 0 or 1 on, in a map of shape `nav`: nothing but the last number of their names
/// differs. `None` if names are made otherwise or the map has no room for the numbers.
pub(super) fn sequence<'a>(stems: impl Iterator<Item = &'a str>, nav: [usize; 2]) -> Option<Vec<[usize; 2]>> {
    let mut before = None;
    let mut found = Vec::new();
    for stem in stems {
        let &(a, b) = numbers(stem).last()?;
        let around = (stem.get(..a)?, stem.get(b..)?);
        if *before.get_or_insert(around) != around {
            return None;
        }
        found.push(stem.get(a..b)?.parse::<usize>().ok()?);
    }
    let from = usize::from(!found.contains(&0));
    let room = nav[0].checked_mul(nav[1])?;
    let at = found.into_iter().map(|n| {
        let i = n - from;
        (i < room).then(|| [i / nav[1], i % nav[1]])
    });
    at.collect()
}

/// Matches a name against the parts of a template; numbers are as long as they can be.
fn matches(parts: &[Part], name: &str, at: &mut [Option<usize>; 2]) -> bool {
    let Some((part, rest)) = parts.split_first() else {
        return name.is_empty();
    };
    match part {
        Part::Text(text) => name.strip_prefix(text.as_str()).is_some_and(|n| matches(rest, n, at)),
        Part::Anything => {
            // From the shortest on; a template has few of these and names are short.
            let ends = name.char_indices().map(|(i, _)| i).chain([name.len()]);
            ends.into_iter().any(|i| matches(rest, &name[i..], at))
        }
        Part::Row | Part::Column => {
            let digits = name.bytes().take_while(u8::is_ascii_digit).count();
            let Ok(value) = name[..digits].parse() else { return false };
            at[usize::from(*part == Part::Column)] = Some(value);
            matches(rest, &name[digits..], at)
        }
    }
}

/// True for names of static backgrounds.
pub(super) fn is_background(stem: &str) -> bool {
    let name = stem.to_lowercase();
    ["background", "static", "flatfield", "flat_field"]
        .iter()
        .any(|n| name.contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names() {
        assert_eq!(usual("3_14"), Some([3, 14]));
        assert_eq!(usual("Map 2 0007-0012"), Some([7, 12]));
        for name in [
            "pattern_x3y7",
            "map_x_003_y_007",
            "p_X=3_Y=7",
            "a2 col3 row7",
            "c03_r07",
            "Column 3, Line 7",
            "mapx3y7",
        ] {
            assert_eq!(usual(name), Some([7, 3]), "{name}");
        }
        for name in ["row7_col3", "y_7_x_3", "matrix7_3", "é7_3"] {
            assert_eq!(usual(name), Some([7, 3]), "{name}");
        }
        assert_eq!(usual("pattern_7"), None);
        assert_eq!(usual("99999999999999999999_1"), None);
        assert!(is_background("StaticBackground") && is_background("Background acquisition pattern") && !is_background("1_2"));
    }

    #[test]
    fn images_in_a_row() {
        let of = |names: &[&str], nav| sequence(names.iter().copied(), nav);
        assert_eq!(of(&["p_000", "p_004", "p_007"], [2, 4]), Some(vec![[0, 0], [1, 0], [1, 3]]));
        assert_eq!(of(&["map2_1 a", "map2_8 a"], [2, 4]), Some(vec![[0, 0], [1, 3]]));
        assert_eq!(of(&["p_0", "p_8"], [2, 4]), None);
        assert_eq!(of(&["p1_0", "p2_1"], [2, 4]), None);
        assert_eq!(of(&["p", "q"], [2, 4]), None);
    }

    #[test]
    fn templates() {
        let n = Names::new(Some("*_x{col}y{row}*")).unwrap();
        assert_eq!(n.position("a_b_x12y3 raw"), Some([3, 12]));
        assert_eq!(n.position("a_b_x12z3"), None);
        assert_eq!(Names::new(Some("{row}{col}")).unwrap().position("12"), None);
        let e = Names::new(Some("{row}-*")).unwrap_err().to_string();
        assert_eq!(
            e,
            "--names: '{row}-*' must hold {row} and {col} once each, e.g. '{row}_{col}'"
        );
    }
}
