//! Conditions on the columns of a map, as people type them: `phase == 1 & (bc > 10 | mad <= 0.8)`.

use crate::error::{Error, Result};

/// Deepest nesting of parentheses and negations.
const DEEPEST: usize = 100;

/// A condition that was understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Left side, comparison, right side. Comparisons with NaN are false, except `!=`, which is false as well.
    Compare(Term, Comparison, Term),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

/// A side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    Number(f64),
    /// Name of a column, in small letters.
    Column(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    Different,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Condition {
    /// Reads a condition: comparisons `== != < <= > >=` (`=` for `==`) of column names and numbers, joined by `&`, `|`, `!`
    /// (also `and`, `or`, `not`) and parentheses; `&` binds stronger than `|`.
    ///
    /// # Errors
    /// [`Error::Parameter`] that names the place where the text is not understood.
    pub fn parse(text: &str) -> Result<Condition> {
        let mut parser = Parser {
            text,
            tokens: tokens(text)?,
            at: 0,
            depth: 0,
        };
        let condition = parser.either()?;
        match parser.tokens.get(parser.at) {
            None => Ok(condition),
            Some((place, _)) => Err(wrong(text, *place, "'&', '|' or the end is expected")),
        }
    }

    /// Names of all columns that the condition asks for.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Condition::Compare(a, _, b) => [a, b]
                .into_iter()
                .filter_map(|t| match t {
                    Term::Column(name) => Some(name.as_str()),
                    Term::Number(_) => None,
                })
                .collect(),
            Condition::And(a, b) | Condition::Or(a, b) => [a.columns(), b.columns()].concat(),
            Condition::Not(a) => a.columns(),
        }
    }

    /// Whether it holds where columns have these values; unknown columns count as NaN.
    pub fn holds(&self, value: &dyn Fn(&str) -> f64) -> bool {
        match self {
            Condition::Compare(a, comparison, b) => {
                let side = |t: &Term| match t {
                    Term::Number(n) => *n,
                    Term::Column(name) => value(name),
                };
                let (a, b) = (side(a), side(b));
                match comparison {
                    Comparison::Equal => a == b,
                    Comparison::Different => a.partial_cmp(&b).is_some_and(std::cmp::Ordering::is_ne),
                    Comparison::Less => a < b,
                    Comparison::LessEqual => a <= b,
                    Comparison::Greater => a > b,
                    Comparison::GreaterEqual => a >= b,
                }
            }
            Condition::And(a, b) => a.holds(value) && b.holds(value),
            Condition::Or(a, b) => a.holds(value) || b.holds(value),
            Condition::Not(a) => !a.holds(value),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Term(Term),
    Compare(Comparison),
    And,
    Or,
    Not,
    Open,
    Close,
}

fn wrong(text: &str, place: usize, what: &str) -> Error {
    let place = text[..place.min(text.len())].chars().count() + 1;
    Error::parameter("--where", format!("'{text}', character {place}: {what}"))
}

/// The words of a condition with the bytes at which they begin.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>> {
    use Comparison::{Different, Equal, Greater, GreaterEqual, Less, LessEqual};
    let fixed = [
        ("==", Token::Compare(Equal)),
        ("!=", Token::Compare(Different)),
        ("<=", Token::Compare(LessEqual)),
        (">=", Token::Compare(GreaterEqual)),
        ("&&", Token::And),
        ("||", Token::Or),
        ("=", Token::Compare(Equal)),
        ("<", Token::Compare(Less)),
        (">", Token::Compare(Greater)),
        ("&", Token::And),
        ("|", Token::Or),
        ("!", Token::Not),
        ("(", Token::Open),
        (")", Token::Close),
    ];
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if let Some((word, token)) = fixed.iter().find(|(w, _)| text[at..].starts_with(w)) {
            out.push((at, token.clone()));
            at += word.len();
            continue;
        }
        let number = c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
        let inside = |i: usize, d: char| {
            if number {
                let exponent = text[at..at + i].ends_with(['e', 'E']);
                d.is_ascii_digit() || matches!(d, '.' | 'e' | 'E') || (matches!(d, '-' | '+') && (i == 0 || exponent))
            } else {
                d.is_alphanumeric() || d == '_'
            }
        };
        let end = text[at..]
            .char_indices()
            .find(|&(i, d)| !inside(i, d))
            .map_or(text.len(), |(i, _)| at + i);
        let word = &text[at..end];
        let token = match word.to_lowercase().as_str() {
            "" => return Err(wrong(text, at, "a column, a number or a parenthesis is expected")),
            "and" => Token::And,
            "or" => Token::Or,
            "not" => Token::Not,
            _ if number => {
                let value = word.parse().map_err(|_| wrong(text, at, &format!("'{word}' is no number")))?;
                Token::Term(Term::Number(value))
            }
            name => Token::Term(Term::Column(name.to_owned())),
        };
        out.push((at, token));
        at = end;
    }
    Ok(out)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, t)| t)
    }
    fn take(&mut self, token: &Token) -> bool {
        let there = self.peek() == Some(token);
        self.at += usize::from(there);
        there
    }
    fn expected(&self, what: &str) -> Error {
        let place = self.tokens.get(self.at).map_or(self.text.len(), |(p, _)| *p);
        wrong(self.text, place, &format!("{what} is expected"))
    }

    fn either(&mut self) -> Result<Condition> {
        let mut left = self.both()?;
        while self.take(&Token::Or) {
            left = Condition::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Condition> {
        let mut left = self.single()?;
        while self.take(&Token::And) {
            left = Condition::And(Box::new(left), Box::new(self.single()?));
        }
        Ok(left)
    }

    fn single(&mut self) -> Result<Condition> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.expected("something less deeply nested"));
        }
        let condition = if self.take(&Token::Not) {
            Condition::Not(Box::new(self.single()?))
        } else if self.take(&Token::Open) {
            let inner = self.either()?;
            if !self.take(&Token::Close) {
                return Err(self.expected("')'"));
            }
            inner
        } else {
            let left = self.term()?;
            let Some(Token::Compare(comparison)) = self.peek().cloned() else {
                return Err(self.expected("a comparison (== != < <= > >=)"));
            };
            self.at += 1;
            Condition::Compare(left, comparison, self.term()?)
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn term(&mut self) -> Result<Term> {
        match self.peek().cloned() {
            Some(Token::Term(term)) => {
                self.at += 1;
                Ok(term)
            }
            _ => Err(self.expected("a column or a number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let values = |name: &str| match name {
            "phase" => 1.0,
            "bc" => 12.0,
            "mad" => 0.5,
            _ => f64::NAN,
        };
        Condition::parse(text).unwrap().holds(&values)
    }

    #[test]
    fn conditions() {
        assert!(holds("phase==1 & bc>10"));
        assert!(holds("PHASE = 1 and not (bc < 10 or mad >= .8)"));
        assert!(!holds("phase != 1 | bc <= -3e1"));
        // & binds stronger than |.
        assert!(holds("phase == 1 | phase == 2 & bc > 100"));
        assert!(!holds("(phase == 1 | phase == 2) && bc > 100"));
        assert!(holds("10 < bc && !!(mad<bc)"));
        assert!(!holds("ci > 0") && !holds("ci != 0") && holds("!(ci > 0)"));
        assert_eq!(Condition::parse("a<1&b>c").unwrap().columns(), ["a", "b", "c"]);
    }

    #[test]
    fn errors_name_the_place() {
        let e = |text: &str| Condition::parse(text).unwrap_err().to_string();
        assert_eq!(e("bc >"), "--where: 'bc >', character 5: a column or a number is expected");
        assert_eq!(
            e("bc > 1 mad"),
            "--where: 'bc > 1 mad', character 8: '&', '|' or the end is expected"
        );
        assert_eq!(e("(bc > 1"), "--where: '(bc > 1', character 8: ')' is expected");
        assert_eq!(
            e("bc"),
            "--where: 'bc', character 3: a comparison (== != < <= > >=) is expected"
        );
        assert_eq!(e("µ > 1.2.3"), "--where: 'µ > 1.2.3', character 5: '1.2.3' is no number");
        assert_eq!(
            e("a > 1 ; b"),
            "--where: 'a > 1 ; b', character 7: a column, a number or a parenthesis is expected"
        );
        assert!(e("").contains("character 1"));
        assert!(e(&"(".repeat(5000)).contains("less deeply nested"));
        assert!(e(&"!".repeat(5000)).contains("less deeply nested"));
    }
}
