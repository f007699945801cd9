//! The order of names, as the readers of a language expect it: sort keys that
//! compare bytewise (Unicode Technical Standard 10, as CLDR tailors it).
//!
//! The keys stand in ranks. Those of another version of the library's data may be
//! others, so its version is pinned: raising it means ranking every list of
//! friends anew.

use highwater_protocol::Refusal;
use icu_collator::options::CollatorOptions;
use icu_collator::{Collator, CollatorBorrowed, CollatorPreferences};
use icu_locale_core::Locale;

/// Bytes of a key: what a rank has room for, and other things beside.
const KEY_BYTES: usize = 240;
/// Bytes of a locale.
const LOCALE_BYTES: usize = 64;

/// The rules of one locale.
pub(super) struct Collation {
    collator: CollatorBorrowed<'static>,
}

/// Checks a locale, and writes it as it is usually written; empty: the root.
///
/// # Errors
/// What is no BCP 47 tag, or over-long, at field `locale`.
pub(super) fn canonical(locale: &str) -> Result<String, Refusal> {
    if locale.len() > LOCALE_BYTES {
        return Err(Refusal::too_large("locale", locale.len(), LOCALE_BYTES));
    }
    if locale.is_empty() {
        return Ok(String::new());
    }
    match Locale::try_from_str(locale) {
        Ok(locale) => Ok(locale.to_string()),
        Err(error) => Err(Refusal::invalid(
            "locale",
            format!("a locale is a BCP 47 tag such as zh or de-AT: {error}"),
        )),
    }
}

impl Collation {
    /// The rules of a locale; of the CLDR root, if it is empty or not known.
    pub(super) fn of(locale: &str) -> Self {
        let preferences = Locale::try_from_str(locale).map_or_else(
            |_| CollatorPreferences::default(),
            CollatorPreferences::from,
        );
        let collator = Collator::try_new(preferences, CollatorOptions::default())
            .or_else(|_| {
                Collator::try_new(CollatorPreferences::default(), CollatorOptions::default())
            })
            .unwrap_or_else(|error| unreachable!("the root's data are compiled in: {error}"));
        Self { collator }
    }

    /// Where a text stands, in at most 240 bytes: texts that differ further behind
    /// are the same to it.
    pub(super) fn key(&self, text: &str) -> Vec<u8> {
        let mut key = Vec::new();
        let Ok(()) = self.collator.write_sort_key_to(text, &mut key);
        key.truncate(KEY_BYTES);
        key
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use highwater_protocol::Code;

    fn sorted(locale: &str, mut texts: Vec<&str>) -> String {
        let collation = Collation::of(locale);
        texts.sort_by_key(|text| collation.key(text));
        texts.join(" ")
    }

    #[test]
    fn each_language_has_its_order() {
        let names = || vec!["Öberg", "Zorn", "Ångström", "Ärlig", "Adler", "adler"];
        assert_eq!(
            sorted("de", names()),
            "adler Adler Ångström Ärlig Öberg Zorn"
        );
        assert_eq!(
            sorted("sv", names()),
            "adler Adler Zorn Ångström Ärlig Öberg"
        );
        assert_eq!(sorted("", names()), sorted("de", names()));
        assert_eq!(sorted("xx-not-known", names()), sorted("", names()));
        // Zhāng, Lǐ, Wáng: by pinyin, and before other scripts; the root goes by
        // code point.
        assert_eq!(sorted("zh", vec!["张", "李", "王", "Bo"]), "李 王 张 Bo");
        assert_eq!(sorted("", vec!["张", "李", "王", "Bo"]), "Bo 张 李 王");
    }

    #[test]
    fn a_key_is_cut_and_keeps_the_order_before_the_cut() {
        let collation = Collation::of("de");
        let long = |first: &str| collation.key(&format!("{first}{}", "ß漢".repeat(40)));
        assert_eq!(long("a").len(), KEY_BYTES);
        assert!(long("a") < long("b"));
    }

    #[test]
    fn a_locale_is_a_bcp_47_tag() {
        assert_eq!(canonical("DE-at").unwrap(), "de-AT");
        assert_eq!(canonical("").unwrap(), "");
        assert_eq!(canonical("no locale").unwrap_err().field, "locale");
        let no = canonical(&"a".repeat(65)).unwrap_err();
        assert_eq!((no.code, no.limit), (Code::TooLarge, 64));
    }
}
