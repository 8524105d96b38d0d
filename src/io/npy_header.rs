//! The one Python literal that a NumPy header is: a dictionary of a string, a truth value and a tuple of integers.

/// What the dictionary says; `None` for keys that are missing.
#[derive(Default)]
pub(crate) struct Fields {
    /// Type of the elements, `<u2`; a structured type as its text, which begins with `[`.
    pub descr: Option<String>,
    pub fortran: Option<bool>,
    pub shape: Option<Vec<u64>>,
}

impl Fields {
    /// The beginning of a header that cannot be parsed, for messages.
    pub fn excerpt(text: &str) -> String {
        text.trim().chars().filter(|c| !c.is_control()).take(60).collect()
    }

    /// Parses e.g. `{'descr': '<f8', 'fortran_order': False, 'shape': (40, 50), }`. `None` if it is anything else.
    pub fn parse(text: &str) -> Option<Fields> {
        Parser { rest: text.trim() }.dict()
    }
}

/// What is left to read.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn eat(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }
    fn string(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (s, rest) = rest[1..].split_once(quote)?;
        self.rest = rest;
        Some(s)
    }
    fn tuple(&mut self) -> Option<Vec<u64>> {
        self.eat("(")?;
        let mut out = Vec::new();
        while self.eat(")").is_none() {
            // More dimensions than NumPy allows would be a forged header.
            if out.len() == 64 {
                return None;
            }
            self.rest = self.rest.trim_start();
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            out.push(digits.parse().ok()?);
            // NumPy 1 under Python 2 wrote long integers as 5L.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if self.eat(",").is_none() {
                self.eat(")")?;
                break;
            }
        }
        Some(out)
    }
    fn dict(&mut self) -> Option<Fields> {
        let mut fields = Fields::default();
        self.eat("{")?;
        while self.eat("}").is_none() {
            let key = self.string()?;
            self.eat(":")?;
            match key {
                // A structured type is a list: its text cannot name a pixel type.
                "descr" if self.rest.trim_start().starts_with('[') => {
                    let (list, rest) = self.rest.trim_start().split_once(']')?;
                    fields.descr = Some(format!("{list}]"));
                    self.rest = rest;
                }
                "descr" => fields.descr = Some(self.string()?.to_owned()),
                "fortran_order" => {
                    let yes = self.eat("True").is_some();
                    if !yes {
                        self.eat("False")?;
                    }
                    fields.fortran = Some(yes);
                }
                "shape" => fields.shape = Some(self.tuple()?),
                _ => return None,
            }
            if self.eat(",").is_none() {
                self.eat("}")?;
                break;
            }
        }
        self.rest.trim().is_empty().then_some(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, bool, Vec<u64>)> {
        let f = Fields::parse(text)?;
        Some((f.descr?, f.fortran?, f.shape?))
    }

    #[test]
    fn headers_of_numpy() {
        let want = Some(("<u2".to_owned(), false, vec![2, 3, 4, 5]));
        assert_eq!(
            parse("{'descr': '<u2', 'fortran_order': False, 'shape': (2, 3, 4, 5), }"),
            want
        );
        assert_eq!(
            parse("{\"shape\":(2L,3L,4L,5L),'fortran_order':False,'descr':'<u2'}  \n"),
            want
        );
        assert_eq!(
            parse("{'descr': '|u1', 'fortran_order': True, 'shape': (7,), }"),
            Some(("|u1".into(), true, vec![7]))
        );
        assert!(
            parse("{'descr': '|u1', 'fortran_order': True, 'shape': (), }")
                .unwrap()
                .2
                .is_empty()
        );
        assert_eq!(
            parse("{'descr': [('a', '<u2')], 'fortran_order': False, 'shape': (1,)}")
                .unwrap()
                .0,
            "[('a', '<u2')]"
        );
    }

    #[test]
    fn nonsense_is_no_header() {
        for text in [
            "",
            "{",
            "{'descr'",
            "{'shape': (1,",
            "{'shape': (-1,)}",
            "{'shape': (99999999999999999999999,)}",
            "{'a': 1}",
            "{} x",
            "{'descr': 'é",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
