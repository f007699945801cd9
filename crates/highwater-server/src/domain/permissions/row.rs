//! A row of whichever table, for those who print it or put it into words.

use super::{Allowed, Asker, OnGroup, OnServer, OnUser, Standing, Whose};

/// A row of one of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Row {
    /// What is done to a group.
    Group(OnGroup),
    /// What is done to the lists of a user.
    User(OnUser),
    /// What is done to the server as a whole.
    Server(OnServer),
}

impl From<OnGroup> for Row {
    fn from(row: OnGroup) -> Self {
        Self::Group(row)
    }
}

impl From<OnUser> for Row {
    fn from(row: OnUser) -> Self {
        Self::User(row)
    }
}

impl From<OnServer> for Row {
    fn from(row: OnServer) -> Self {
        Self::Server(row)
    }
}

impl Row {
    /// What the row's table is about.
    #[must_use]
    pub const fn on(self) -> &'static str {
        match self {
            Self::Group(_) => "a group",
            Self::User(_) => "the lists of a user",
            Self::Server(_) => "the server",
        }
    }

    /// What is done, as it follows "to".
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Group(row) => row.about(),
            Self::User(row) => row.about(),
            Self::Server(row) => row.about(),
        }
    }

    /// What the table says, by the name of who asks.
    #[must_use]
    pub fn cells(self) -> Vec<(&'static str, Allowed)> {
        match self {
            Self::Group(row) => Standing::ALL
                .map(|who| (who.as_str(), row.allowed(who)))
                .to_vec(),
            Self::User(row) => Whose::ALL
                .map(|who| (who.as_str(), row.allowed(who)))
                .to_vec(),
            Self::Server(row) => Asker::ALL
                .map(|who| (who.as_str(), row.allowed(who)))
                .to_vec(),
        }
    }

    /// Who may, in words.
    #[must_use]
    pub fn who(self) -> String {
        let mut who = match self {
            Self::Group(row) => row.who(),
            Self::User(row) if row.allowed(Whose::Own) == Allowed::Yes => vec!["the user".into()],
            Self::Server(row) if row.allowed(Asker::User) == Allowed::Yes => vec!["a user".into()],
            Self::User(_) | Self::Server(_) => Vec::new(),
        };
        if self.cells().contains(&("service", Allowed::Yes)) {
            who.push("a service".to_owned());
        }
        who.join("; ")
    }
}

impl OnGroup {
    /// Those in the group who may, in words.
    fn who(self) -> Vec<String> {
        let above = self.above().to_owned();
        match (
            self.allowed(Standing::Admin),
            self.allowed(Standing::Member),
        ) {
            (_, Allowed::Yes) => vec!["the group's members".to_owned()],
            (_, Allowed::AsSet) => vec![above, "its members, if its settings say so".to_owned()],
            (Allowed::Below, _) => vec![above + ", about a member of a lower role"],
            _ => vec![above],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_row_is_what_its_cells_say() {
        for (row, expected) in [
            (
                Row::from(OnGroup::ReadProfile),
                "the group's members; a service",
            ),
            (
                OnGroup::Invite.into(),
                "the group's owner and admins; its members, if its settings say so; a service",
            ),
            (
                OnGroup::Mute.into(),
                "the group's owner and admins; a service",
            ),
            (
                OnGroup::Remove.into(),
                "the group's owner and admins, about a member of a lower role; a service",
            ),
            (OnGroup::Dismiss.into(), "the group's owner; a service"),
            (OnUser::Read.into(), "the user; a service"),
            (OnUser::ReportActivity.into(), "a service"),
            (OnServer::Audit.into(), "a service"),
            (OnServer::TellRepairs.into(), "a user"),
        ] {
            assert_eq!(row.who(), expected, "{row:?}");
        }
    }
}
