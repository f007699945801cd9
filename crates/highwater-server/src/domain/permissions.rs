//! Who may do what: one table, which every rule asks, `docs/permissions.md`
//! prints, and each operation over HTTP names its rows of.
//!
//! What is done to a group depends on how the asker stands to the group, what is
//! done to the lists of a user on whether they are the asker's own, what is done
//! to the server on whether they are a backend. A new operation is a row here.

mod row;

pub use row::Row;

use super::{Actor, UserId};
use highwater_protocol::kinds::Role;
use highwater_protocol::{Code, Refusal};

/// What a cell of the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// They may.
    Yes,
    /// They may not.
    No,
    /// They may, where it concerns a member of a lower role than theirs.
    Below,
    /// They may, if the group's settings say so.
    AsSet,
}

/// How an asker stands to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A backend, which stands above all roles.
    Service,
    /// The owner.
    Owner,
    /// An admin.
    Admin,
    /// A member.
    Member,
    /// A user who is not in the group. They are told that there is no such group.
    Outsider,
}

/// How an asker stands to the lists of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A backend, which acts for anybody.
    Service,
    /// They are the asker's own.
    Own,
    /// They are another user's.
    Other,
}

/// Who asks something of the server itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A backend.
    Service,
    /// A user, on one of their devices.
    User,
}

macro_rules! table {
    (
        $(#[$doc:meta])*
        $name:ident by $standing:ident {
            $($variant:ident = $about:literal: $($cell:ident)+;)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = concat!("To ", $about, ".")] $variant,)+
        }

        impl $name {
            /// Every row.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// What is done, as it follows "to".
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)+
                }
            }

            /// What the table says.
            #[must_use]
            pub const fn allowed(self, standing: $standing) -> Allowed {
                let row: [Allowed; $standing::ALL.len()] = match self {
                    $(Self::$variant => [$(Allowed::$cell,)+],)+
                };
                row[standing as usize]
            }
        }
    };
}

table! {
    /// What is done to a group.
    OnGroup by Standing {
        //                                                   service owner admin member outsider
        ReadProfile = "read its profile":                    Yes Yes   Yes   Yes   No;
        ReadMembers = "read its members":                    Yes Yes   Yes   AsSet No;
        ReadActivity = "read its activity":                  Yes Yes   Yes   Yes   No;
        ReadJoinRequests = "read who applies":               Yes Yes   Yes   No    No;
        Describe = "change its name, description, avatar, extra data":
                                                             Yes Yes   Yes   No    No;
        Announce = "announce something":                     Yes Yes   Yes   No    No;
        Mute = "mute it":                                    Yes Yes   Yes   No    No;
        SetRules = "set who may join, invite, see its members":
                                                             Yes Yes   No    No    No;
        Invite = "bring users in":                           Yes Yes   Yes   AsSet No;
        AnswerRequest = "approve or reject an application":  Yes Yes   Yes   No    No;
        Remove = "send a member away":                       Yes Below Below No    No;
        MuteMember = "mute a member":                        Yes Below Below No    No;
        SetNickname = "set another member's nickname":       Yes Below Below No    No;
        SetMemberExtra = "set another member's extra data":  Yes Below Below No    No;
        SetRole = "set a member's role, hand the group over": Yes Yes  No    No    No;
        Dismiss = "dismiss it":                              Yes Yes   No    No    No;
    }
}

table! {
    /// What is done to the lists of a user.
    OnUser by Whose {
        //                                                   service own other
        Read = "read them":                                  Yes Yes No;
        Describe = "change their profile":                   Yes Yes No;
        Delete = "delete them":                              Yes Yes No;
        RequestFriend = "ask somebody to be their friend":   Yes Yes No;
        WithdrawFriendRequest = "withdraw a friend request": Yes Yes No;
        AnswerFriend = "accept or reject a friend request":  Yes Yes No;
        ChangeFriend = "set a friend's remark, pin, extra data":
                                                             Yes Yes No;
        DeleteFriend = "delete a friend":                    Yes Yes No;
        Block = "block or unblock a user":                   Yes Yes No;
        ImportFriends = "import friendships":                Yes No  No;
        CreateGroup = "create a group that they own":        Yes Yes No;
        CreateEmptyGroup = "create a group that nobody owns": Yes No No;
        Join = "join a group, or apply":                     Yes Yes No;
        Withdraw = "withdraw an application":                Yes Yes No;
        Leave = "leave a group":                             Yes Yes No;
        SetNickname = "set their nickname in a group":       Yes Yes No;
        SetMemberExtra = "set their extra data in a group":  Yes Yes No;
        SetConversation = "change the settings of a conversation":
                                                             Yes Yes No;
        ReadConversation = "say how far they have read":     Yes Yes No;
        ClearConversation = "clear a conversation":          Yes Yes No;
        DeleteConversation = "delete a conversation":        Yes Yes No;
        ReportActivity = "report the activity of conversations":
                                                             Yes No  No;
    }
}

table! {
    /// What is done to the server as a whole.
    OnServer by Asker {
        //                                                   service user
        Import = "import a history":                         Yes No;
        ReadStatus = "see how the server is":                Yes No;
        ReadReceipts = "see what devices told of their repairs":
                                                             Yes No;
        Audit = "hold heads against their rows":             Yes No;
        TellRepairs = "tell what repairs on a device did":   No  Yes;
    }
}

impl Allowed {
    /// As the printed table has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "–",
            Self::Below => "below",
            Self::AsSet => "as set",
        }
    }
}

impl Standing {
    /// All, from the highest.
    pub const ALL: [Self; 5] = [
        Self::Service,
        Self::Owner,
        Self::Admin,
        Self::Member,
        Self::Outsider,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Outsider => "outsider",
        }
    }

    /// That of a member.
    #[must_use]
    pub const fn of(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
        }
    }

    /// Whether whoever stands so is above a member of this role.
    #[must_use]
    pub const fn is_above(self, role: Role) -> bool {
        (self as usize) < (Self::of(role) as usize)
    }
}

impl Whose {
    /// All.
    pub const ALL: [Self; 3] = [Self::Service, Self::Own, Self::Other];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Own => "own",
            Self::Other => "other's",
        }
    }

    /// How `actor` stands to the lists of `user`.
    #[must_use]
    pub fn of(actor: &Actor, user: &UserId) -> Self {
        match actor {
            Actor::Service => Self::Service,
            Actor::User(own) if own == user => Self::Own,
            Actor::User(_) => Self::Other,
        }
    }
}

impl Asker {
    /// All.
    pub const ALL: [Self; 2] = [Self::Service, Self::User];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::User => "user",
        }
    }

    const fn of(actor: &Actor) -> Self {
        match actor {
            Actor::Service => Self::Service,
            Actor::User(_) => Self::User,
        }
    }
}

impl OnGroup {
    /// Those above ordinary members who may.
    fn above(self) -> &'static str {
        match self.allowed(Standing::Admin) {
            Allowed::No => "the group's owner",
            _ => "the group's owner and admins",
        }
    }

    /// Why somebody who stands so may not.
    pub(crate) fn forbidden(self) -> Refusal {
        let message = format!("only {} may {}", self.above(), self.about());
        Refusal::new(Code::Forbidden, message).at("group")
    }

    /// Why it may not be done to a member who is not below the asker.
    pub(super) fn not_below(self) -> Refusal {
        let message = format!(
            "to {} takes a higher role than the member's own",
            self.about()
        );
        Refusal::new(Code::Forbidden, message).at("user")
    }
}

impl OnUser {
    /// Lets `actor` pass if they may do this to the lists of `user`.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require(self, actor: &Actor, user: &UserId) -> Result<(), Refusal> {
        match self.allowed(Whose::of(actor, user)) {
            Allowed::Yes => Ok(()),
            _ if self.allowed(Whose::Own) == Allowed::Yes => {
                let message = format!("you may {} for yourself only", self.about());
                Err(Refusal::new(Code::Forbidden, message).at("user"))
            }
            _ => Err(self.for_services()),
        }
    }

    /// Lets `actor` pass if they may do this, whoever it concerns.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require_service(self, actor: &Actor) -> Result<(), Refusal> {
        match actor {
            Actor::Service => Ok(()),
            Actor::User(_) => Err(self.for_services()),
        }
    }

    fn for_services(self) -> Refusal {
        let message = format!("only a service may {}", self.about());
        Refusal::new(Code::Forbidden, message)
    }
}

impl OnServer {
    /// Lets `actor` pass if they may do this.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require(self, actor: &Actor) -> Result<(), Refusal> {
        if self.allowed(Asker::of(actor)) == Allowed::Yes {
            return Ok(());
        }
        let (who, token) = match self.allowed(Asker::Service) {
            Allowed::Yes => ("a service", "a token with the scope `service`"),
            _ => ("a user", "a user's token"),
        };
        let message = format!("only {who} may {}: this takes {token}", self.about());
        Err(Refusal::new(Code::Forbidden, message).at("authorization"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    const DOCUMENT: &str = include_str!("../../../../docs/permissions.md");

    /// A table as `docs/permissions.md` has it.
    fn printed(rows: &[Row]) -> String {
        let (mut head, mut rule, mut out) = ("| to".to_owned(), "|---".to_owned(), String::new());
        for (who, _) in rows[0].cells() {
            head.push_str(&format!(" | {who}"));
            rule.push_str("|---");
        }
        writeln!(out, "{head} |\n{rule}|").unwrap_or_default();
        for row in rows {
            let cells: Vec<_> = row.cells().iter().map(|(_, may)| may.as_str()).collect();
            writeln!(out, "| {} | {} |", row.about(), cells.join(" | ")).unwrap_or_default();
        }
        out
    }

    fn rows<R: Copy + Into<Row>>(rows: &[R]) -> Vec<Row> {
        rows.iter().map(|row| (*row).into()).collect()
    }

    #[test]
    fn the_document_prints_the_table_as_it_is() {
        let tables = [rows(OnGroup::ALL), rows(OnUser::ALL), rows(OnServer::ALL)];
        for table in &tables {
            let table = printed(table);
            assert!(
                DOCUMENT.contains(&format!("\n{table}\n")),
                "docs/permissions.md should contain:\n\n{table}"
            );
        }
        let lines = DOCUMENT.lines().filter(|line| line.starts_with("| "));
        assert_eq!(lines.count(), tables.concat().len() + tables.len());
    }

    #[test]
    fn a_service_may_do_everything_and_an_outsider_nothing() {
        for row in OnGroup::ALL {
            assert_eq!(row.allowed(Standing::Service), Allowed::Yes, "{row:?}");
            assert_eq!(row.allowed(Standing::Outsider), Allowed::No, "{row:?}");
        }
        for row in OnUser::ALL {
            assert_eq!(row.allowed(Whose::Service), Allowed::Yes, "{row:?}");
            assert_eq!(row.allowed(Whose::Other), Allowed::No, "{row:?}");
        }
    }

    #[test]
    fn whoever_stands_higher_may_not_do_less() {
        let rank = |allowed| match allowed {
            Allowed::No => 0,
            Allowed::AsSet | Allowed::Below => 1,
            Allowed::Yes => 2,
        };
        for row in OnGroup::ALL {
            let cells = Standing::ALL.map(|standing| rank(row.allowed(standing)));
            assert!(cells.is_sorted_by(|a, b| a >= b), "{row:?}");
        }
        assert!(Standing::Service.is_above(Role::Owner));
        assert!(Standing::Owner.is_above(Role::Admin));
        assert!(!Standing::Owner.is_above(Role::Owner));
        assert!(!Standing::Member.is_above(Role::Member));
        assert!(!Standing::Outsider.is_above(Role::Member));
    }
}
