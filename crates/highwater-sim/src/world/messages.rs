//! The network: what is said travels as bytes, late, twice, cut short, or not
//! at all.

use super::World;
use crate::check::answers::Case;
use crate::check::{Invariant, Verdict, Violation, demand};
use bytes::Bytes;
use highwater_core::answer::{Access, Budget};
use highwater_core::reads::PageLimit;
use highwater_core::replica::{Failure, RequestId};
use highwater_protocol::message::{Position, SyncRequest, SyncResponse};
use highwater_protocol::{Code, ListKey, Refusal, wire};

/// After so long without an answer a device gives a request up.
const TIMEOUT_MS: i64 = 20_000;

/// What is under way. A run of a device hears only what it asked itself.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Request {
        device: usize,
        run: u64,
        id: RequestId,
        body: Bytes,
    },
    Response {
        device: usize,
        run: u64,
        id: RequestId,
        body: Result<Bytes, Refusal>,
        /// The whole body, of one that was cut short.
        cut_from: Option<Bytes>,
    },
    TimesOut {
        device: usize,
        run: u64,
        id: RequestId,
    },
}

impl World {
    fn post(&mut self, delay_ms: i64, message: Message) {
        let key = (self.now_ms + delay_ms, self.next_message);
        self.next_message += 1;
        self.messages.insert(key, message);
    }

    fn chance(&mut self, of_thousand: u64) -> bool {
        of_thousand > 0 && self.random.below(1_000) < of_thousand
    }

    fn delay(&mut self) -> i64 {
        let delay_ms = self.random.between_ms(1, self.network.delay_ms_max);
        match self.chance(self.network.late) {
            true => {
                self.coverage.met("network response late");
                delay_ms + self.random.between_ms(10_000, 40_000)
            }
            false => delay_ms,
        }
    }

    /// Sends a device's request.
    pub(super) fn send(&mut self, device: usize, id: RequestId, request: SyncRequest) {
        let lists: Vec<ListKey> = request
            .lists
            .iter()
            .map(|asked| asked.list.clone())
            .collect();
        let (run, name) = (self.devices[device].run, self.devices[device].name.clone());
        self.note(|| {
            let asked = request.lists.iter().map(|asked| {
                let what = match &asked.position {
                    Position::Cursor(cursor) => {
                        format!("at {}:{}", cursor.point.lineage, cursor.point.version)
                    }
                    Position::Scan(scan) => format!(
                        "scan after {:?}",
                        scan.position
                            .as_ref()
                            .map(|at| (at.point, at.after.as_ref().map(|key| key.id.clone())))
                    ),
                    Position::Sketch(range) => {
                        format!("sketch from {} ({})", range.from, range.cells)
                    }
                    Position::SketchItems(items) => format!("{} elements", items.elements.len()),
                };
                format!("{} {what} +{}", asked.list, asked.details.len())
            });
            format!(
                "{name} asks {id:?}: {}",
                asked.collect::<Vec<_>>().join("; ")
            )
        });
        self.devices[device].flying.insert(id, lists);
        let body = self.devices[device]
            .format
            .encode(&wire::SyncRequest::from(request));
        self.post(TIMEOUT_MS, Message::TimesOut { device, run, id });
        let copies = match self.chance(self.network.doubled) {
            true => {
                self.coverage.met("network request doubled");
                2
            }
            false => 1,
        };
        for _ in 0..copies {
            if self.chance(self.network.lost) {
                self.coverage.met("network request lost");
                continue;
            }
            let mut body = body.clone();
            if self.chance(self.network.cut) {
                self.coverage.met("network request cut");
                body.truncate(self.random.below_usize(body.len()));
            }
            let delay_ms = self.delay();
            let message = Message::Request {
                device,
                run,
                id,
                body,
            };
            self.post(delay_ms, message);
        }
    }

    pub(super) fn deliver(&mut self, message: Message) -> Verdict {
        match message {
            Message::Request {
                device,
                run,
                id,
                body,
            } => {
                if !self.server.is_up() {
                    return Ok(());
                }
                let body = self.serve(device, body)?;
                self.reply(device, run, id, body);
                Ok(())
            }
            Message::Response {
                device,
                run,
                id,
                body,
                cut_from,
            } => {
                let there = self.devices[device].run == run && self.devices[device].is_up();
                match there {
                    true => self.receive(device, id, body, cut_from),
                    false => Ok(()),
                }
            }
            Message::TimesOut { device, run, id } => {
                let on = &mut self.devices[device];
                if on.run != run || !on.is_up() || on.flying.remove(&id).is_none() {
                    return Ok(());
                }
                let failure = Failure::Unreachable("no answer".to_owned());
                let now_ms = on.now_ms(self.now_ms);
                on.replica.handle_failure(now_ms, id, failure);
                self.pump(device)
            }
        }
    }

    /// The server's side of a request: its answer, judged, as bytes.
    fn serve(&mut self, device: usize, body: Bytes) -> Result<Result<Bytes, Refusal>, Violation> {
        let format = self.devices[device].format;
        let parsed = format
            .decode::<wire::SyncRequest>(body)
            .and_then(SyncRequest::try_from);
        let request = match parsed {
            Ok(request) => request,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if self.chance(self.network.refused) {
            self.coverage.met("network refused");
            let delay_ms = self.random.below(5_000);
            let busy = Refusal::new(Code::Unavailable, "busy").retry_after_ms(delay_ms);
            return Ok(Err(busy));
        }
        let access: Vec<Access> = request
            .lists
            .iter()
            .map(|asked| self.access(device, &asked.list))
            .collect();
        let budget = Budget {
            page: PageLimit {
                rows: request.page_rows,
                bytes: self.plan.page_bytes,
            },
            response_bytes: self.plan.response_bytes,
        };
        let server_now_ms = self.now_ms + self.server_clock_offset_ms;
        self.server.offers.set_time(server_now_ms);
        self.change_lineages();
        let answered = self.server.answer(&request, &access, budget);
        for met in self.server.offers.met() {
            self.coverage.met(met);
        }
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                self.server_failed(&error.to_string())?;
                return Ok(Err(Refusal::new(Code::Internal, "the store failed")));
            }
        };
        self.requests += 1;
        let case = Case {
            model: &self.model,
            lies: &self.server.lies,
            request: &request,
            access: &access,
            now_ms: server_now_ms,
            tight: self.plan.response_bytes < 10_000,
        };
        let verdict = self.answers.judge(&case, &response, &mut self.coverage);
        verdict?;
        let body = format.encode(&wire::SyncResponse::from(response));
        self.privacy(device, &request, &body)?;
        Ok(Ok(body))
    }

    fn reply(&mut self, device: usize, run: u64, id: RequestId, body: Result<Bytes, Refusal>) {
        let copies = match self.chance(self.network.doubled) {
            true => {
                self.coverage.met("network response doubled");
                2
            }
            false => 1,
        };
        for _ in 0..copies {
            if self.chance(self.network.lost) {
                self.coverage.met("network response lost");
                continue;
            }
            let mut body = body.clone();
            let mut cut_from = None;
            if let Ok(whole) = &mut body
                && self.chance(self.network.cut)
            {
                self.coverage.met("network response cut");
                cut_from = Some(whole.clone());
                whole.truncate(self.random.below_usize(whole.len()));
            }
            let delay_ms = self.delay();
            let message = Message::Response {
                device,
                run,
                id,
                body,
                cut_from,
            };
            self.post(delay_ms, message);
        }
    }

    fn receive(
        &mut self,
        device: usize,
        id: RequestId,
        body: Result<Bytes, Refusal>,
        cut_from: Option<Bytes>,
    ) -> Verdict {
        let Some(lists) = self.devices[device].flying.get(&id).cloned() else {
            // Late, or a second time: the replica is to ignore it.
            if let Ok(body) = body
                && cut_from.is_none()
            {
                self.coverage.met("network overtaken");
                return self.stray(device, id, body);
            }
            return Ok(());
        };
        let format = self.devices[device].format;
        self.bytes_down += body.as_ref().map_or(0, |body| body.len() as u64);
        let parse = |body: Bytes| {
            format
                .decode::<wire::SyncResponse>(body)
                .and_then(|response| SyncResponse::parse(response, lists.len()))
        };
        let parsed = body.and_then(parse);
        if let (Some(whole), Ok(cut)) = (cut_from, &parsed) {
            demand(parse(whole).as_ref() == Ok(cut), Invariant::Fault, || {
                format!("a response that was cut short is taken for {cut:?}")
            })?;
        }
        self.devices[device].flying.remove(&id);
        match parsed {
            Ok(response) => self.take_in(device, id, &lists, response),
            Err(refusal) => {
                let on = &mut self.devices[device];
                let now_ms = on.now_ms(self.now_ms);
                on.replica
                    .handle_failure(now_ms, id, Failure::Refused(refusal));
                self.pump(device)
            }
        }
    }
}
