//! What filters know of a connection (`set-meta`).

/// Most names of one connection.
const MAX_NAMES: usize = 100;

/// Most bytes of one connection's names and values.
const MAX_BYTES: usize = 32 << 10;

/// What filters know of a connection, by name.
#[derive(Debug, Default)]
pub(super) struct FilterMeta(Vec<(Box<str>, Box<str>)>);

// === impl FilterMeta ===

impl FilterMeta {
    /// Sets a name, or takes it away. What would be too much has no effect.
    pub(super) fn set(&mut self, name: Box<str>, value: Option<Box<str>>) {
        let place = self.0.iter().position(|(known, _)| *known == name);
        let Some(value) = value else {
            if let Some(place) = place {
                self.0.swap_remove(place);
            }
            return;
        };
        let others = self.0.iter().filter(|(known, _)| *known != name);
        let bytes = others
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>();
        if bytes + name.len() + value.len() > MAX_BYTES {
            return;
        }
        match place {
            Some(place) => self.0[place].1 = value,
            None if self.0.len() < MAX_NAMES => self.0.push((name, value)),
            None => {}
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        fields.find_map(|(known, value)| (**known == *name).then_some(&**value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_too_much_has_no_effect() {
        let mut meta = FilterMeta::default();
        let long = |len| Some("x".repeat(len).into_boxed_str());
        meta.set("a".into(), long(MAX_BYTES - 1));
        meta.set("b".into(), long(0));
        assert_eq!(
            (meta.get("a").map(str::len), meta.get("b")),
            (Some(MAX_BYTES - 1), None)
        );
        meta.set("a".into(), long(MAX_BYTES));
        assert_eq!(meta.get("a").map(str::len), Some(MAX_BYTES - 1));
        meta.set("a".into(), long(1));
        for n in 0..MAX_NAMES {
            meta.set(n.to_string().into(), long(0));
        }
        assert_eq!((meta.get("98"), meta.get("99")), (Some(""), None));
        meta.set("a".into(), None);
        meta.set("99".into(), long(0));
        assert_eq!((meta.get("a"), meta.get("99")), (None, Some("")));
    }
}
