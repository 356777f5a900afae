//! Dictionaries of structured fields (RFC 9651).
//!
//! Unlike the lists of [`list`](super::list) they are read whole or not at all: one wrong byte makes all of it void.

use std::borrow::Cow;

use super::list::is_tchar;

/// What a member says. Its parameters are read, and forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    String(Cow<'a, [u8]>),
    /// A type that no directive has: a decimal, a token, a date, bytes, an inner list.
    Other,
}

/// Calls with each member of a dictionary, in order; a repeated key replaces what came before. `None`, if it is none:
/// then what was told means nothing.
pub(super) fn dictionary<'a>(text: &'a [u8], mut member: impl FnMut(&'a [u8], Value<'a>)) -> Option<()> {
    let mut rest = Text(text);
    rest.skip_spaces();
    if rest.0.is_empty() {
        return Some(());
    }
    loop {
        let key = rest.key()?;
        let value = match rest.take(b'=') {
            true if rest.0.first() == Some(&b'(') => rest.inner_list()?,
            true => rest.bare_item()?,
            false => Value::Boolean(true),
        };
        rest.parameters()?;
        member(key, value);
        let end = rest.0;
        rest.skip_optional_white_space();
        if rest.0.is_empty() {
            // Tabs are for the places around commas.
            return end.iter().all(|&byte| byte == b' ').then_some(());
        }
        if !rest.take(b',') {
            return None;
        }
        rest.skip_optional_white_space();
    }
}

/// What is still to be read.
struct Text<'a>(&'a [u8]);

// === impl Text ===

impl<'a> Text<'a> {
    fn take(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !fits(byte));
        let (taken, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    fn skip_spaces(&mut self) {
        self.take_while(|byte| byte == b' ');
    }

    fn skip_optional_white_space(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let starts = matches!(self.0.first(), Some(b'a'..=b'z' | b'*'));
        let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*');
        starts.then(|| self.take_while(fits))
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip_spaces();
            self.key()?;
            if self.take(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn inner_list(&mut self) -> Option<Value<'a>> {
        self.take(b'(');
        loop {
            self.skip_spaces();
            if self.take(b')') {
                return Some(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn bare_item(&mut self) -> Option<Value<'a>> {
        match self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'?' => self.boolean(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take_while(|byte| is_tchar(byte) || matches!(byte, b':' | b'/'));
                Some(Value::Other)
            }
            b':' => self.bytes(),
            b'@' => {
                self.take(b'@');
                matches!(self.number()?, Value::Integer(_)).then_some(Value::Other)
            }
            b'%' => self.display_string(),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Value<'a>> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        if self.take(b'.') {
            let fraction = self.take_while(|byte| byte.is_ascii_digit());
            let fits = matches!(whole.len(), 1..=12) && matches!(fraction.len(), 1..=3);
            return fits.then_some(Value::Other);
        }
        let add = |number: i64, digit: &u8| number * 10 + i64::from(digit - b'0');
        matches!(whole.len(), 1..=15).then(|| Value::Integer(sign * whole.iter().fold(0, add)))
    }

    fn string(&mut self) -> Option<Value<'a>> {
        self.take(b'"');
        let plain = self.take_while(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
        if self.take(b'"') {
            return Some(Value::String(Cow::Borrowed(plain)));
        }
        let mut content = plain.to_vec();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return Some(Value::String(Cow::Owned(content))),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    matches!(escaped, b'"' | b'\\').then(|| content.push(escaped))?;
                }
                b' '..=b'~' => content.push(byte),
                _ => return None,
            }
        }
    }

    fn boolean(&mut self) -> Option<Value<'a>> {
        self.take(b'?');
        if self.take(b'1') {
            Some(Value::Boolean(true))
        } else {
            self.take(b'0').then_some(Value::Boolean(false))
        }
    }

    /// Padding is not looked at: a parser may forgive it (RFC 9651 4.2.7).
    fn bytes(&mut self) -> Option<Value<'a>> {
        self.take(b':');
        self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        self.take(b':').then_some(Value::Other)
    }

    fn display_string(&mut self) -> Option<Value<'a>> {
        self.take(b'%');
        if !self.take(b'"') {
            return None;
        }
        let text = self.take_while(|byte| matches!(byte, b' '..=b'~') && byte != b'"');
        if !self.take(b'"') {
            return None;
        }
        let mut content = Vec::with_capacity(text.len());
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            content.push(match byte {
                b'%' => lower_hex(*bytes.next()?)? << 4 | lower_hex(*bytes.next()?)?,
                _ => byte,
            });
        }
        std::str::from_utf8(&content).is_ok().then_some(Value::Other)
    }
}

fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Vec<(&str, Value<'_>)>> {
        let mut members = Vec::new();
        dictionary(text.as_bytes(), |key, value| {
            members.push((std::str::from_utf8(key).expect("ascii"), value));
        })?;
        Some(members)
    }

    fn string(text: &str) -> Value<'_> {
        Value::String(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn each_type_is_told_from_the_others() {
        for (text, value) in [
            ("a", Value::Boolean(true)),
            ("a=?1", Value::Boolean(true)),
            ("a=?0", Value::Boolean(false)),
            ("a=0", Value::Integer(0)),
            ("a=007", Value::Integer(7)),
            ("a=-42", Value::Integer(-42)),
            ("a=999999999999999", Value::Integer(999_999_999_999_999)),
            ("a=\"\"", string("")),
            ("a=\"x, y; z\"", string("x, y; z")),
            (r#"a="x\"\\y""#, string(r#"x"\y"#)),
            ("a=1.5", Value::Other),
            ("a=-123456789012.125", Value::Other),
            ("a=token", Value::Other),
            ("a=*t/k:n", Value::Other),
            ("a=:aGVsbG8=:", Value::Other),
            ("a=::", Value::Other),
            ("a=@1659578233", Value::Other),
            ("a=%\"f%c3%bc\"", Value::Other),
            ("a=()", Value::Other),
            ("a=( 1 \"x\";q=1  y )", Value::Other),
        ] {
            assert_eq!(read(text), Some(vec![("a", value)]), "{text}");
        }
    }

    #[test]
    fn members_are_told_in_order_without_their_parameters() {
        let members = read("  a=1;x;y=\"z\", *b-_.9 \t,\t c=?0;  q=1.0, a=2 ");
        let expected = vec![
            ("a", Value::Integer(1)),
            ("*b-_.9", Value::Boolean(true)),
            ("c", Value::Boolean(false)),
            ("a", Value::Integer(2)),
        ];
        assert_eq!(members, Some(expected));
        assert_eq!(read(""), Some(vec![]));
        assert_eq!(read("   "), Some(vec![]));
    }

    #[test]
    fn one_wrong_byte_makes_all_of_it_void() {
        for text in [
            "A",
            "a=",
            "a =1",
            "a= 1",
            "a,",
            "a, ",
            ",a",
            "a,,b",
            "a b",
            "&&&",
            "a=1 2",
            "a=-",
            "a=1.",
            "a=.5",
            "a=1.2345",
            "a=1234567890123.1",
            "a=1234567890123456",
            "a=\"x",
            "a=\"\\x\"",
            "a=\"\u{e4}\"",
            "a=?2",
            "a=?",
            "a=:x",
            "a=:_:",
            "a=@1.5",
            "a=@x",
            "a=%x",
            "a=%\"%C3\"",
            "a=%\"%c3\"",
            "a=%\"%c\"",
            "a=(1",
            "a=(1,2)",
            "a=(\"x\"\"y\")",
            "a;",
            "a;=1",
            "a;b=",
            "\ta",
            "a\t",
            "9a",
            "a='1'",
            "a=1, b=&",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = dictionary(&text, |_, _| {});
        }

        /// What holds of a text holds of it with more behind it.
        #[test]
        fn a_member_more_changes_no_other(text in "([a-c](=([0-9]{1,3}|\\?[01]|\"[a-z, ]{0,4}\"|:[a-z]*:|[a-z]))?(;[a-c])?(, ?|)){0,4}") {
            let longer = format!("{text}, z");
            if let (Some(mut members), true) = (read(&text), !text.is_empty()) {
                members.push(("z", Value::Boolean(true)));
                prop_assert_eq!(read(&longer), Some(members));
            }
        }
    }
}
