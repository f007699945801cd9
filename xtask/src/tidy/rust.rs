//! Rust files as flat rows of tokens.
//!
//! The rules ask which words stand where. Tokens, unlike lines, do not mistake
//! a comment or a string for code, and they tell what is compiled for tests
//! only: the rules are about what is shipped.

use super::tree::Tree;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};

/// All Rust files of the repository.
#[derive(Debug)]
pub(super) struct Sources {
    files: BTreeMap<String, RustFile>,
}

/// One Rust file.
#[derive(Debug)]
pub(super) struct RustFile {
    /// Its tokens in order; empty if the file does not lex.
    pub(super) tokens: Vec<Token>,
    /// Why it does not lex.
    pub(super) fault: Option<String>,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The line, from 1.
    pub(super) line: usize,
    /// What it is.
    pub(super) what: What,
    /// Whether it is compiled for tests, benchmarks or examples only.
    pub(super) in_test: bool,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// An identifier or keyword.
    Word(String),
    /// A single character of punctuation, an opening or a closing bracket.
    Mark(char),
    /// What stands between the quotes of a string, escapes as written.
    Text(String),
    /// A number or character.
    Other,
}

impl Sources {
    /// Reads all `.rs` files of `tree`.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut files: BTreeMap<String, RustFile> = tree
            .texts()
            .filter(|(path, _)| path.ends_with(".rs"))
            .map(|(path, text)| (path.to_owned(), RustFile::parse(text)))
            .collect();
        let test_modules: BTreeSet<String> = files
            .iter()
            .flat_map(|(path, file)| file.test_modules(path))
            .collect();
        for (path, file) in &mut files {
            if is_test_path(path) || is_in_module(path, &test_modules) {
                for token in &mut file.tokens {
                    token.in_test = true;
                }
            }
        }
        Self { files }
    }

    /// All files, by path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &RustFile)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The file at `path`.
    pub(super) fn file(&self, path: &str) -> Option<&RustFile> {
        self.files.get(path)
    }
}

impl RustFile {
    /// Splits a file into tokens.
    pub(super) fn parse(text: &str) -> Self {
        match text.parse::<TokenStream>() {
            Ok(stream) => {
                let mut tokens = Vec::new();
                flatten(stream, false, &mut tokens);
                Self {
                    tokens,
                    fault: None,
                }
            }
            Err(error) => Self {
                tokens: Vec::new(),
                fault: Some(error.to_string()),
            },
        }
    }

    /// The tokens that are shipped.
    pub(super) fn shipped(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(|token| !token.in_test)
    }

    /// Where `words` and marks stand in a row, as in `["std", ":", ":", "fs"]`:
    /// the index of the first token of each such row.
    pub(super) fn rows<'a>(&'a self, row: &'a [&'a str]) -> impl Iterator<Item = usize> + 'a {
        self.tokens
            .windows(row.len().max(1))
            .enumerate()
            .filter(move |(_, window)| {
                !row.is_empty()
                    && window
                        .iter()
                        .zip(row)
                        .all(|(token, part)| token.reads(part))
            })
            .map(|(index, _)| index)
    }

    /// The modules in files of their own that only tests compile, as paths
    /// without `.rs`.
    fn test_modules(&self, path: &str) -> Vec<String> {
        let Some(stem) = path.strip_suffix(".rs") else {
            return Vec::new();
        };
        let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
        let home = match name {
            "lib" | "main" | "mod" => folder,
            _ => stem,
        };
        self.tokens
            .windows(3)
            .filter_map(|window| match window {
                [declaration, module, end]
                    if declaration.in_test && declaration.reads("mod") && end.reads(";") =>
                {
                    Some(format!("{home}/{}", module.word()?))
                }
                _ => None,
            })
            .collect()
    }
}

impl Token {
    /// The identifier or keyword.
    pub(super) fn word(&self) -> Option<&str> {
        match &self.what {
            What::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Whether this is the word or mark `part`.
    pub(super) fn reads(&self, part: &str) -> bool {
        match &self.what {
            What::Word(word) => word == part,
            What::Mark(mark) => part.chars().eq([*mark]),
            What::Text(_) | What::Other => false,
        }
    }
}

/// Whether `path` is for tests, benchmarks or examples only: by where cargo
/// looks for them, or as a suite that tests of other crates run.
pub(super) fn is_test_path(path: &str) -> bool {
    let mut folders = path.split('/').rev();
    let file = folders.next();
    matches!(file, Some("tests.rs" | "conformance.rs"))
        || folders.any(|folder| {
            matches!(
                folder,
                "tests" | "benches" | "examples" | "fuzz" | "conformance"
            )
        })
}

/// Whether `path` is one of `modules` or lies below one.
fn is_in_module(path: &str, modules: &BTreeSet<String>) -> bool {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    modules
        .iter()
        .any(|module| super::tree::within(stem, module))
}

fn flatten(stream: TokenStream, in_test: bool, tokens: &mut Vec<Token>) {
    let trees: Vec<TokenTree> = stream.into_iter().collect();
    let mut whole = in_test;
    // Set by an attribute such as `cfg(test)`, until the end of its item.
    let mut item = false;
    for (index, tree) in trees.iter().enumerate() {
        let line = tree.span().start().line;
        let previous = index.checked_sub(1).map(|before| &trees[before]);
        let before_that = index.checked_sub(2).map(|before| &trees[before]);
        let mut attribute_for_tests = false;
        if let TokenTree::Group(group) = tree
            && group.delimiter() == Delimiter::Bracket
        {
            if is_mark(previous, '#') {
                item |= marks_test_item(group.stream());
                attribute_for_tests = applies_to_tests_only(group.stream());
            } else if is_mark(previous, '!') && is_mark(before_that, '#') {
                whole |= marks_test_item(group.stream());
                attribute_for_tests = applies_to_tests_only(group.stream());
            }
        }
        let in_test = whole || item || attribute_for_tests;
        let mut push = |line, what| {
            tokens.push(Token {
                line,
                what,
                in_test,
            });
        };
        match tree {
            TokenTree::Ident(word) => push(line, What::Word(word.to_string())),
            TokenTree::Punct(mark) => push(line, What::Mark(mark.as_char())),
            TokenTree::Literal(literal) => push(line, literal_of(&literal.to_string())),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => (' ', ' '),
                };
                push(line, What::Mark(open));
                flatten(group.stream(), in_test, tokens);
                tokens.push(Token {
                    line: group.span_close().end().line,
                    what: What::Mark(close),
                    in_test,
                });
            }
        }
        if ends_item(tree) {
            item = false;
        }
    }
}

fn ends_item(tree: &TokenTree) -> bool {
    match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(mark) => mark.as_char() == ';',
        _ => false,
    }
}

fn is_mark(tree: Option<&TokenTree>, mark: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

/// `cfg(test)`, `cfg(all(test, …))`, `test`, `tokio::test` and their like.
/// What a feature can switch on as well, `cfg(any(test, …))`, may be shipped.
fn marks_test_item(attribute: TokenStream) -> bool {
    let written: String = attribute
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .concat();
    let path = written.split(['(', '=']).next().unwrap_or_default();
    written == "cfg(test)"
        || written.starts_with("cfg(all(test")
        || path == "test"
        || path.ends_with("::test")
}

/// `cfg_attr(test, …)`.
fn applies_to_tests_only(attribute: TokenStream) -> bool {
    let mut trees = attribute.into_iter();
    let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(group))) =
        (trees.next(), trees.next())
    else {
        return false;
    };
    let condition = group.stream().into_iter().next();
    name == "cfg_attr" && matches!(condition, Some(TokenTree::Ident(word)) if word == "test")
}

fn literal_of(written: &str) -> What {
    let body = written
        .trim_start_matches(['b', 'c', 'r'])
        .trim_matches('#');
    match body
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(text) => What::Text(text.to_owned()),
        None => What::Other,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn shipped_words(text: &str) -> Vec<String> {
        RustFile::parse(text)
            .shipped()
            .filter_map(|token| token.word().map(str::to_owned))
            .collect()
    }

    #[test]
    fn comments_and_strings_are_no_words() {
        let text = "// axum\n/* hyper */\nlet x = \"rusqlite\"; // http::\n";
        assert_eq!(shipped_words(text), ["let", "x"]);
        let file = RustFile::parse(text);
        let row: Vec<_> = file.tokens.iter().map(|token| token.line).collect();
        assert!(row.iter().all(|line| *line == 3));
        assert_eq!(file.tokens[3].what, What::Text("rusqlite".to_owned()));
        assert_eq!(literal_of("r#\"a\"#"), What::Text("a".to_owned()));
        assert_eq!(literal_of("b\"a\""), What::Text("a".to_owned()));
        assert_eq!(literal_of("'a'"), What::Other);
        assert_eq!(literal_of("7u64"), What::Other);
    }

    #[test]
    fn what_only_tests_compile_is_not_shipped() {
        let text = "
            fn a() {}
            #[cfg(test)]
            #[expect(dead_code, reason = \"tests\")]
            mod b { fn c() {} }
            #[test] fn d() { e(); }
            #[tokio::test(flavor = \"x\")] async fn f() {}
            #[cfg(test)] use g::h;
            #[cfg(not(test))] fn i() {}
            #[cfg(any(test, feature = \"x\"))] fn j() {}
            #![cfg_attr(test, k)]
            fn l() {}
        ";
        let words = shipped_words(text).join(" ");
        assert_eq!(
            words,
            "fn a cfg not test fn i cfg any test feature fn j fn l"
        );
        assert_eq!(
            shipped_words("#![cfg(test)]\nfn a() {}"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_not_shipped() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "#[cfg(test)] mod pair; mod head;"),
            ("a/src/pair.rs", "mod more;"),
            ("a/src/pair/more.rs", "fn x() {}"),
            ("a/src/head.rs", "#[cfg(test)] mod cases;"),
            ("a/src/head/cases.rs", "fn x() {}"),
            ("a/src/head/rest.rs", "fn x() {}"),
            ("a/tests/main.rs", "fn x() {}"),
        ]);
        let sources = Sources::of(&tree);
        let shipped: Vec<&str> = sources
            .files()
            .filter(|(_, file)| file.shipped().next().is_some())
            .map(|(path, _)| path)
            .collect();
        assert_eq!(
            shipped,
            ["a/src/head.rs", "a/src/head/rest.rs", "a/src/lib.rs"]
        );
    }

    #[test]
    fn rows_of_tokens_are_found() {
        let file = RustFile::parse("use std::fs; std::fs::read(x); my_std::fs();");
        let found: Vec<usize> = file.rows(&["std", ":", ":", "fs"]).collect();
        assert_eq!(found, [1, 6]);
    }

    #[test]
    fn a_file_that_does_not_lex_says_so() {
        let file = RustFile::parse("fn a( {");
        assert!(file.tokens.is_empty());
        file.fault.unwrap();
    }
}
