//! A refusal as problem details (RFC 9457): how it is written in JSON.

use crate::error::{Code, Refusal};
use serde::{Deserialize, Serialize};

/// The content type of problem details.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal as problem details, with members of Highwater's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// A reference to what the code means, relative to the server.
    #[serde(default)]
    pub r#type: String,
    /// The code in words.
    #[serde(default)]
    pub title: String,
    /// The status that it came under.
    #[serde(default)]
    pub status: u16,
    /// For people: what was wrong and what to do.
    #[serde(default)]
    pub detail: String,
    /// The stable code.
    pub code: String,
    /// The offending field as a path; left out if no single one is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The limit that was exceeded, in the field's own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// When to come back, in milliseconds; left out if that does not help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    /// A refusal, as it travels under `status`.
    #[must_use]
    pub fn new(refusal: Refusal, status: u16) -> Self {
        let code = refusal.code.as_str();
        let mut title = code.replace('_', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self {
            r#type: format!("/v1/docs#{code}"),
            title,
            status,
            detail: refusal.message,
            code: code.to_owned(),
            field: Some(refusal.field).filter(|field| !field.is_empty()),
            limit: Some(refusal.limit).filter(|limit| *limit > 0),
            retry_after_ms: Some(refusal.retry_after_ms).filter(|delay| *delay > 0),
        }
    }

    /// Reads problem details; `None`: they are not Highwater's.
    #[must_use]
    pub fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            code: Code::parse(&problem.code),
            message: problem.detail,
            field: problem.field.unwrap_or_default(),
            limit: problem.limit.unwrap_or(0),
            retry_after_ms: problem.retry_after_ms.unwrap_or(0),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_all_that_the_refusal_said_and_nothing_that_it_did_not() {
        let refusal = Refusal::too_large("name", 300, 256).retry_after_ms(7);
        let json = serde_json::to_string(&Problem::new(refusal.clone(), 413)).unwrap();
        assert_eq!(
            json,
            r#"{"type":"/v1/docs#too_large","title":"Too large","status":413,"detail":"name has 300 bytes; the limit is 256","code":"too_large","field":"name","limit":256,"retry_after_ms":7}"#
        );
        let read = Problem::read(json.as_bytes()).unwrap();
        assert_eq!(Refusal::from(read), refusal);
        let bare = Problem::new(Refusal::new(Code::Internal, "no"), 500);
        let json = serde_json::to_string(&bare).unwrap();
        assert!(!json.contains("field") && !json.contains("limit"), "{json}");
        let least = Problem::read(br#"{"code":"newer_code"}"#).unwrap();
        assert_eq!(Refusal::from(least).code, Code::Unknown);
        assert_eq!(Problem::read(br#"{"title":"a proxy's"}"#), None);
    }
}
