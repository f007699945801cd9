//! The writing half of the server in this process: the test says what each write
//! does to which lists; what it answers is told from the store.

use crate::server::{Op, TestServer, now};
use bytes::Bytes;
use highwater_core::reads::{ListState, PageLimit, Payloads, Reads as _};
use highwater_protocol::codec::Format;
use highwater_protocol::message::{Content, Delta, DeltaEnd, Head, ListChange, Row, WriteAnswer};
use highwater_protocol::{ItemId, ListKey, Refusal, Version, wire};
use highwater_sdk::driver::{Method, Request, Response, TransportError};
use highwater_store::Store as _;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// What a write does, by its method and its path.
type Rule = Box<dyn Fn(&Written) -> Vec<(ListKey, Vec<Op>)> + Send>;

/// What goes wrong with a write.
#[derive(Clone, Debug)]
pub(crate) enum WriteFault {
    /// Nothing does.
    Nothing,
    /// It is lost on its way.
    Drop,
    /// It is done, and the answer is lost.
    Cut,
    /// It is refused, in protobuf.
    Refuse(u16, Refusal),
    /// It is answered so.
    Say(u16, &'static str, &'static str),
}

/// A write as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) key: String,
    pub(crate) token: String,
}

#[derive(Default)]
pub(crate) struct Writes {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    rule: Option<Rule>,
    outcome: Bytes,
    faults: VecDeque<WriteFault>,
    log: Vec<Written>,
    /// First answers, by key.
    answered: BTreeMap<String, Response>,
    down: bool,
}

fn protobuf(status: u16, body: Bytes) -> Response {
    Response {
        status,
        content_type: Some(Format::Protobuf.content_type().to_owned()),
        body,
    }
}

impl Writes {
    /// From now on every write does this.
    pub(crate) fn do_this(
        &self,
        rule: impl Fn(&Written) -> Vec<(ListKey, Vec<Op>)> + Send + 'static,
    ) {
        self.inner.lock().unwrap().rule = Some(Box::new(rule));
    }

    /// What every operation says of its own.
    pub(crate) fn say(&self, outcome: &'static str) {
        self.inner.lock().unwrap().outcome = Bytes::from_static(outcome.as_bytes());
    }

    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = WriteFault>) {
        self.inner.lock().unwrap().faults.extend(faults);
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.inner.lock().unwrap().down = down;
    }

    /// The writes since the last call.
    pub(crate) fn take_log(&self) -> Vec<Written> {
        std::mem::take(&mut self.inner.lock().unwrap().log)
    }
}

impl TestServer {
    pub(crate) fn head(&self, list: &ListKey) -> Option<Head> {
        let snapshot = now(self.store.snapshot(&[])).unwrap();
        match now(snapshot.state(list)).unwrap() {
            ListState::Live(head) => Some(head.announced()),
            _ => None,
        }
    }

    /// Writes, and says what was done to the list.
    pub(crate) fn write_and_tell(&self, list: &ListKey, ops: Vec<Op>) -> Option<ListChange> {
        let before = self.head(list);
        let ids = ops.iter().filter_map(|op| match op {
            Op::Put { id, .. } | Op::Delete(id) => Some(ItemId::new_or_header(id).unwrap()),
            Op::End => None,
        });
        let mut named: Vec<ItemId> = ids.collect();
        named.sort();
        named.dedup();
        self.write(list, ops);
        let after = self.head(list);
        if before == after {
            return None;
        }
        let from = before.map_or(Version::ZERO, |head| head.point.version);
        let point = after.or(before)?.point;
        let told = |delta| ListChange {
            list: list.clone(),
            lineage: point.lineage,
            from,
            delta,
        };
        let Some(after) = after else {
            return Some(told(None));
        };
        let snapshot = now(self.store.snapshot(&[])).unwrap();
        let limit = PageLimit {
            rows: usize::MAX,
            bytes: usize::MAX,
        };
        let read = snapshot.scan(list, point.version, None, Payloads::All, limit);
        let rows: Vec<Row> = now(read)
            .unwrap()
            .rows
            .into_iter()
            .filter(|item| named.contains(&item.id))
            .map(|item| Row {
                id: item.id,
                rank: item.rank,
                content: Content::Payload(item.payload),
            })
            .collect();
        named.retain(|id| rows.iter().all(|row| row.id != *id));
        Some(told(Some(Delta {
            rows,
            deleted: named,
            to: point.version,
            end: DeltaEnd::Proof(after.digest, after.count),
            deletes_incomplete: false,
        })))
    }

    pub(crate) fn handle_write(&self, request: &Request) -> Result<Response, TransportError> {
        let path = request.url.strip_prefix(crate::server::URL).unwrap();
        let written = Written {
            method: request.method,
            path: path.to_owned(),
            body: String::from_utf8(request.body.to_vec()).unwrap(),
            key: request.idempotency_key.as_deref().unwrap().to_owned(),
            token: request.token.to_string(),
        };
        let unreachable = || TransportError::Connect {
            host: "server.test:80".to_owned(),
            reason: "refused".to_owned(),
        };
        let mut inner = self.writes.inner.lock().unwrap();
        if inner.down {
            return Err(unreachable());
        }
        let fault = inner.faults.pop_front().unwrap_or(WriteFault::Nothing);
        if let WriteFault::Drop = fault {
            return Err(unreachable());
        }
        inner.log.push(written.clone());
        match fault {
            WriteFault::Refuse(status, refusal) => {
                let body = Format::Protobuf.encode(&wire::Error::from(refusal));
                return Ok(protobuf(status, body));
            }
            WriteFault::Say(status, content_type, words) => {
                return Ok(Response {
                    status,
                    content_type: Some(content_type.to_owned()),
                    body: Bytes::from_static(words.as_bytes()),
                });
            }
            _ => {}
        }
        let known = inner.answered.get(&written.key).cloned();
        let response = known.unwrap_or_else(|| {
            let ops = inner.rule.as_ref().map(|rule| rule(&written));
            let done = ops.into_iter().flatten();
            let changes = done.filter_map(|(list, ops)| self.write_and_tell(&list, ops));
            let answer = WriteAnswer {
                changes: changes.collect(),
                outcome: inner.outcome.clone(),
            };
            protobuf(
                200,
                Format::Protobuf.encode(&wire::WriteAnswer::from(answer)),
            )
        });
        inner.answered.insert(written.key, response.clone());
        match fault {
            WriteFault::Cut => Err(TransportError::CutShort("end of file".to_owned())),
            _ => Ok(response),
        }
    }
}
