//! What the lists should hold, in the plainest way: maps, and the rules as a
//! person would write them down. It shares no code with the server but the shapes
//! of the payloads.

use super::conversations::seq_of;
use highwater_protocol::kinds::{
    Announcement, Block, Circle, Conversation, ConversationState, ConversationType, Friend,
    FriendRequest, GroupActivity, GroupProfile, JoinPolicy, JoinRequest, LastMessage, Member,
    Mention, RequestState, Role, UserProfile,
};
use std::collections::{BTreeMap, BTreeSet};

/// Groups of more members share their activity.
pub(crate) const SHARED_ABOVE: usize = 5;

/// A user and what is theirs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    pub(crate) profile: Option<UserProfile>,
    pub(crate) friends: BTreeMap<String, Friend>,
    pub(crate) incoming: BTreeMap<String, FriendRequest>,
    pub(crate) sent: BTreeMap<String, FriendRequest>,
    pub(crate) blocks: BTreeMap<String, Block>,
    /// Group and when it was joined.
    pub(crate) groups: BTreeMap<String, i64>,
    pub(crate) applications: BTreeMap<String, JoinRequest>,
    pub(crate) conversations: BTreeMap<String, Conversation>,
}

/// A group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) profile: GroupProfile,
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) applicants: BTreeMap<String, JoinRequest>,
    /// Once it has been large.
    pub(crate) activity: Option<GroupActivity>,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) people: BTreeMap<String, Person>,
    pub(crate) groups: BTreeMap<String, Group>,
}

/// Who asks: a user, or a service.
pub(crate) type By<'a> = Option<&'a str>;

/// Why an operation is refused: any of these codes will do. Empty: it is not.
pub(crate) type Reasons = Vec<&'static str>;

/// How somebody stands to a group; higher ones come first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Service,
    Owner,
    Admin,
    Member,
}

fn by(who: By<'_>) -> String {
    who.unwrap_or_default().to_owned()
}

fn standing_of(role: Role) -> Standing {
    match role {
        Role::Owner => Standing::Owner,
        Role::Admin => Standing::Admin,
        Role::Member => Standing::Member,
    }
}

impl World {
    pub(crate) fn person(&mut self, user: &str) -> &mut Person {
        self.people.entry(user.to_owned()).or_default()
    }

    fn profile(&self, user: &str) -> UserProfile {
        let person = self.people.get(user);
        person
            .and_then(|person| person.profile.clone())
            .unwrap_or_default()
    }

    pub(super) fn name(&self, user: &str) -> String {
        self.profile(user).name
    }

    pub(super) fn avatar(&self, user: &str) -> String {
        self.profile(user).avatar
    }

    fn blocks(&self, who: &str, whom: &str) -> bool {
        let person = self.people.get(who);
        person.is_some_and(|person| person.blocks.contains_key(whom))
    }

    pub(crate) fn are_friends(&self, a: &str, b: &str) -> bool {
        let person = self.people.get(a);
        person.is_some_and(|person| person.friends.contains_key(b))
    }

    // ------------------------------------------------------------ people

    pub(crate) fn describe(
        &mut self,
        user: &str,
        name: Option<&str>,
        avatar: Option<&str>,
        now: i64,
    ) -> Reasons {
        let mut profile = self.profile(user);
        if let Some(name) = name {
            profile.name = name.to_owned();
        }
        if let Some(avatar) = avatar {
            profile.avatar = avatar.to_owned();
        }
        // Saying the same again changes nothing.
        if self.person(user).profile.as_ref() == Some(&profile) {
            return vec![];
        }
        profile.changed_at_ms = now;
        self.person(user).profile = Some(profile);
        self.copy_profile(user);
        vec![]
    }

    /// All who hold a copy of a profile get the new one.
    fn copy_profile(&mut self, user: &str) {
        let UserProfile { name, avatar, .. } = self.profile(user);
        let conversation = format!("u:{user}");
        for person in self.people.values_mut() {
            if let Some(friend) = person.friends.get_mut(user) {
                (friend.name, friend.avatar) = (name.clone(), avatar.clone());
            }
            for requests in [&mut person.incoming, &mut person.sent] {
                if let Some(request) = requests.get_mut(user) {
                    (request.name, request.avatar) = (name.clone(), avatar.clone());
                }
            }
            if let Some(block) = person.blocks.get_mut(user) {
                (block.name, block.avatar) = (name.clone(), avatar.clone());
            }
            // One that ended was with somebody else of this id.
            if let Some(with) = person.conversations.get_mut(&conversation)
                && with.state == ConversationState::Active
            {
                (with.name, with.avatar) = (name.clone(), avatar.clone());
            }
        }
        for group in self.groups.values_mut() {
            if let Some(member) = group.members.get_mut(user) {
                member.avatar.clone_from(&avatar);
                if member.nickname.is_empty() {
                    member.name.clone_from(&name);
                }
            }
            if let Some(applicant) = group.applicants.get_mut(user) {
                (applicant.name, applicant.avatar) = (name.clone(), avatar.clone());
            }
        }
    }

    pub(crate) fn delete_user(&mut self, user: &str) -> Reasons {
        let person = self.people.remove(user).unwrap_or_default();
        let conversation = format!("u:{user}");
        for other in self.people.values_mut() {
            other.friends.remove(user);
            other.incoming.remove(user);
            other.sent.remove(user);
            other.blocks.remove(user);
            if let Some(with) = other.conversations.get_mut(&conversation) {
                with.state = ConversationState::Ended;
            }
        }
        for group in self.groups.values_mut() {
            group.applicants.remove(user);
        }
        for group in person.groups.keys() {
            let members = &mut self.groups.get_mut(group).unwrap().members;
            let gone = members.remove(user).unwrap();
            let has_owner = members.values().any(|member| member.role == Role::Owner);
            if members.is_empty() {
                self.end(group);
            } else if gone.role == Role::Owner && !has_owner {
                let heir = members
                    .iter()
                    .min_by_key(|(id, member)| (member.role, member.joined_at_ms, (*id).clone()))
                    .map(|(id, _)| id.clone())
                    .unwrap();
                let heir = members.get_mut(&heir).unwrap();
                heir.role = Role::Owner;
                // Nobody could end it for them.
                heir.muted_until_ms = 0;
            }
        }
        vec![]
    }

    pub(crate) fn request(
        &mut self,
        who: By<'_>,
        from: &str,
        to: &str,
        message: &str,
        now: i64,
    ) -> Reasons {
        let mut no = vec![];
        if from == to {
            return vec!["invalid_field"];
        }
        if self.are_friends(from, to) {
            no.push("already_friends");
        }
        if self.blocks(to, from) {
            no.push("blocked");
        }
        if !no.is_empty() {
            return no;
        }
        let asked = self.person(from).incoming.get(to);
        if asked.is_some_and(|asked| asked.state == RequestState::Pending) {
            return self.accept(from, to, who, now);
        }
        let request = |name, avatar| FriendRequest {
            name,
            avatar,
            message: message.to_owned(),
            at_ms: now,
            ..FriendRequest::default()
        };
        let incoming = request(self.name(from), self.avatar(from));
        let sent = request(self.name(to), self.avatar(to));
        self.person(to).incoming.insert(from.to_owned(), incoming);
        self.person(from).sent.insert(to.to_owned(), sent);
        vec![]
    }

    pub(crate) fn accept(&mut self, user: &str, from: &str, who: By<'_>, now: i64) -> Reasons {
        if self.person(user).incoming.remove(from).is_none() {
            return vec!["request_not_found"];
        }
        self.person(from).sent.remove(user);
        // What the two asked of each other before is settled too.
        self.person(from).incoming.remove(user);
        self.person(user).sent.remove(from);
        for (owner, friend) in [(user, from), (from, user)] {
            let item = Friend {
                name: self.name(friend),
                avatar: self.avatar(friend),
                since_ms: now,
                by: by(who),
                ..Friend::default()
            };
            let friends = &mut self.person(owner).friends;
            friends.entry(friend.to_owned()).or_insert(item);
        }
        vec![]
    }

    pub(crate) fn reject(&mut self, user: &str, from: &str, answer: &str, now: i64) -> Reasons {
        if self.person(user).incoming.remove(from).is_none() {
            return vec!["request_not_found"];
        }
        if let Some(sent) = self.person(from).sent.get_mut(user) {
            sent.state = RequestState::Rejected;
            sent.handled_at_ms = now;
            sent.answer = answer.to_owned();
        }
        vec![]
    }

    pub(crate) fn withdraw(&mut self, user: &str, to: &str) -> Reasons {
        if self.person(user).sent.remove(to).is_none() {
            return vec!["request_not_found"];
        }
        self.person(to).incoming.remove(user);
        vec![]
    }

    pub(crate) fn unfriend(&mut self, user: &str, friend: &str) -> Reasons {
        if self.person(user).friends.remove(friend).is_none() {
            return vec!["not_friend"];
        }
        self.person(friend).friends.remove(user);
        vec![]
    }

    pub(crate) fn edit_friend(
        &mut self,
        user: &str,
        friend: &str,
        remark: Option<&str>,
        pinned: Option<bool>,
    ) -> Reasons {
        let Some(item) = self.person(user).friends.get_mut(friend) else {
            return vec!["not_friend"];
        };
        if let Some(remark) = remark {
            item.remark = remark.to_owned();
        }
        if let Some(pinned) = pinned {
            item.pinned = pinned;
        }
        vec![]
    }

    pub(crate) fn block(&mut self, user: &str, other: &str, who: By<'_>, now: i64) -> Reasons {
        if user == other {
            return vec!["invalid_field"];
        }
        if self.person(user).blocks.contains_key(other) {
            return vec![];
        }
        let block = Block {
            name: self.name(other),
            avatar: self.avatar(other),
            at_ms: now,
            by: by(who),
        };
        self.person(user).blocks.insert(other.to_owned(), block);
        // What was asked between the two is off.
        for (one, two) in [(user, other), (other, user)] {
            if self.person(one).incoming.remove(two).is_some() {
                self.person(two).sent.remove(one);
            }
        }
        vec![]
    }

    pub(crate) fn unblock(&mut self, user: &str, other: &str) -> Reasons {
        match self.person(user).blocks.remove(other) {
            Some(_) => vec![],
            None => vec!["not_blocked"],
        }
    }

    // ------------------------------------------------------------ groups

    fn standing(&self, who: By<'_>, group: &str) -> Result<Standing, Reasons> {
        let Some(group) = self.groups.get(group) else {
            return Err(vec!["group_not_found"]);
        };
        match who {
            None => Ok(Standing::Service),
            Some(user) => match group.members.get(user) {
                Some(member) => Ok(standing_of(member.role)),
                None => Err(vec!["group_not_found"]),
            },
        }
    }

    fn require(&self, who: By<'_>, group: &str, least: Standing) -> Result<Standing, Reasons> {
        match self.standing(who, group)? {
            standing if standing <= least => Ok(standing),
            _ => Err(vec!["forbidden"]),
        }
    }

    pub(super) fn group(&mut self, group: &str) -> &mut Group {
        self.groups.get_mut(group).unwrap()
    }

    pub(crate) fn create(&mut self, group: &str, owner: By<'_>, profile: GroupProfile) -> Reasons {
        if self.groups.contains_key(group) {
            return vec!["group_exists"];
        }
        let now = profile.created_at_ms;
        let new = Group {
            profile,
            ..Group::default()
        };
        self.groups.insert(group.to_owned(), new);
        if let Some(owner) = owner {
            self.admit(group, owner, Role::Owner, Some(owner), now);
        }
        vec![]
    }

    fn admit(&mut self, group: &str, user: &str, role: Role, who: By<'_>, now: i64) {
        let member = Member {
            role,
            joined_at_ms: now,
            name: self.name(user),
            avatar: self.avatar(user),
            by: by(who),
            ..Member::default()
        };
        let inside = self.group(group);
        inside.members.insert(user.to_owned(), member);
        inside.applicants.remove(user);
        let activity = inside.activity.clone();
        let person = self.person(user);
        person.applications.remove(group);
        person.groups.insert(group.to_owned(), now);
        // It begins now, with the settings that they once made.
        let conversation = person
            .conversations
            .entry(format!("g:{group}"))
            .or_default();
        conversation.r#type = ConversationType::Group;
        conversation.state = ConversationState::Active;
        conversation.created_at_ms = now;
        conversation.last = None;
        conversation.shared = activity.is_some();
        // What was said before is nothing that they have yet to read.
        conversation.read_seq = seq_of(activity.and_then(|it| it.last).as_ref());
        conversation.cleared_seq = 0;
        conversation.mention = None;
        conversation.mention_seq = 0;
        conversation.deleted = false;
    }

    fn expel(&mut self, group: &str, user: &str) {
        self.group(group).members.remove(user);
        self.out(group, user, ConversationState::Left);
    }

    /// A user is in a group no longer: their conversation keeps what was last said.
    fn out(&mut self, group: &str, user: &str, state: ConversationState) {
        let id = format!("g:{group}");
        let last = self.last(user, &id);
        let activity = self.groups[group].activity.as_ref();
        let all_seq = activity.map_or(0, |activity| activity.mention_all_seq);
        let person = self.person(user);
        person.groups.remove(group);
        let Some(conversation) = person.conversations.get_mut(&id) else {
            return;
        };
        if conversation.deleted && seq_of(last.as_ref()) <= conversation.cleared_seq {
            person.conversations.remove(&id);
            return;
        }
        conversation.deleted = false;
        conversation.shared = false;
        conversation.last = last;
        if let Some(last) = &mut conversation.last
            && last.seq <= conversation.cleared_seq
        {
            last.preview.clear();
        }
        let seen = conversation.read_seq.max(conversation.cleared_seq);
        if conversation.mention.is_none() && all_seq > seen {
            conversation.mention = Some(Mention::All);
            conversation.mention_seq = all_seq;
        }
        conversation.state = state;
    }

    /// The end of a group, for all who were in it.
    fn end(&mut self, group: &str) {
        let members: Vec<_> = self.group(group).members.keys().cloned().collect();
        for user in &members {
            self.out(group, user, ConversationState::Ended);
        }
        let ended = self.groups.remove(group).unwrap();
        for user in ended.applicants.keys() {
            self.person(user).applications.remove(group);
        }
    }

    pub(crate) fn edit_group(&mut self, who: By<'_>, group: &str, edit: &GroupEdit) -> Reasons {
        let least = match edit.sets_rules() {
            true => Standing::Owner,
            false => Standing::Admin,
        };
        if let Err(no) = self.require(who, group, least) {
            return no;
        }
        let profile = &mut self.group(group).profile;
        if let Some(name) = &edit.name {
            profile.name.clone_from(name);
        }
        if let Some(policy) = edit.join_policy {
            profile.join_policy = policy;
        }
        if let Some(circle) = edit.invited_by {
            profile.invited_by = Some(circle);
        }
        if let Some(circle) = edit.seen_by {
            profile.seen_by = Some(circle);
        }
        if let Some(muted) = edit.muted {
            profile.muted = muted;
        }
        if let Some(text) = &edit.announcement {
            profile.announcement = Some(Announcement {
                text: text.clone(),
                at_ms: edit.now,
                by: by(who),
            });
        }
        vec![]
    }

    pub(crate) fn dismiss(&mut self, who: By<'_>, group: &str) -> Reasons {
        if let Err(no) = self.require(who, group, Standing::Owner) {
            return no;
        }
        self.end(group);
        vec![]
    }

    pub(crate) fn join(
        &mut self,
        who: By<'_>,
        group: &str,
        user: &str,
        message: &str,
        now: i64,
    ) -> Reasons {
        let Some(inside) = self.groups.get(group) else {
            return vec!["group_not_found"];
        };
        if inside.members.contains_key(user) {
            return vec!["already_member"];
        }
        match inside.profile.join_policy {
            // A service stands above the policy.
            _ if who.is_none() => self.admit(group, user, Role::Member, who, now),
            JoinPolicy::Open => self.admit(group, user, Role::Member, who, now),
            JoinPolicy::Invitation => return vec!["join_refused"],
            JoinPolicy::Approval => {
                let request = |name, avatar| JoinRequest {
                    name,
                    avatar,
                    message: message.to_owned(),
                    at_ms: now,
                    ..JoinRequest::default()
                };
                let profile = self.group(group).profile.clone();
                let own = request(profile.name, profile.avatar);
                let theirs = request(self.name(user), self.avatar(user));
                self.group(group).applicants.insert(user.to_owned(), theirs);
                self.person(user).applications.insert(group.to_owned(), own);
            }
        }
        vec![]
    }

    pub(crate) fn approve(&mut self, who: By<'_>, group: &str, user: &str, now: i64) -> Reasons {
        if let Err(no) = self.require(who, group, Standing::Admin) {
            return no;
        }
        if self.group(group).applicants.remove(user).is_none() {
            return vec!["request_not_found"];
        }
        self.admit(group, user, Role::Member, Some(user), now);
        vec![]
    }

    pub(crate) fn turn_down(
        &mut self,
        who: By<'_>,
        group: &str,
        user: &str,
        answer: &str,
        now: i64,
    ) -> Reasons {
        if let Err(no) = self.require(who, group, Standing::Admin) {
            return no;
        }
        if self.group(group).applicants.remove(user).is_none() {
            return vec!["request_not_found"];
        }
        if let Some(own) = self.person(user).applications.get_mut(group) {
            own.state = RequestState::Rejected;
            own.handled_at_ms = now;
            own.handled_by = by(who);
            own.answer = answer.to_owned();
        }
        vec![]
    }

    pub(crate) fn take_back(&mut self, user: &str, group: &str) -> Reasons {
        if self.person(user).applications.remove(group).is_none() {
            return vec!["request_not_found"];
        }
        if let Some(inside) = self.groups.get_mut(group) {
            inside.applicants.remove(user);
        }
        vec![]
    }

    pub(crate) fn leave(&mut self, group: &str, user: &str) -> Reasons {
        let Some(inside) = self.groups.get(group) else {
            return vec!["not_member"];
        };
        let Some(member) = inside.members.get(user) else {
            return vec!["not_member"];
        };
        if inside.members.len() == 1 {
            self.end(group);
            return vec![];
        }
        let owners = inside.members.values();
        if member.role == Role::Owner && owners.filter(|one| one.role == Role::Owner).count() == 1 {
            return vec!["owner_required"];
        }
        self.expel(group, user);
        vec![]
    }

    /// With what became of each.
    pub(crate) fn invite(
        &mut self,
        who: By<'_>,
        group: &str,
        users: &[String],
        now: i64,
    ) -> Result<Vec<&'static str>, Reasons> {
        let invited_by = self.groups.get(group).and_then(|it| it.profile.invited_by);
        let least = match invited_by {
            Some(Circle::Members) => Standing::Member,
            _ => Standing::Admin,
        };
        let standing = self.require(who, group, least)?;
        let hidden = self.group(group).profile.seen_by == Some(Circle::Admins);
        // Whoever may not see the members does not learn who is one.
        let sees = standing != Standing::Member || !hidden;
        Ok(users
            .iter()
            .map(|user| {
                let is_member = self.group(group).members.contains_key(user);
                if is_member && sees {
                    "already_member"
                } else if who.is_some_and(|who| self.blocks(user, who)) {
                    "blocked"
                } else if is_member {
                    "added"
                } else {
                    self.admit(group, user, Role::Member, who, now);
                    "added"
                }
            })
            .collect())
    }

    /// With what became of each.
    pub(crate) fn remove(
        &mut self,
        who: By<'_>,
        group: &str,
        users: &[String],
    ) -> Result<Vec<&'static str>, Reasons> {
        let standing = self.require(who, group, Standing::Admin)?;
        let mut outcomes = vec![""; users.len()];
        for owners in [false, true] {
            for (user, outcome) in users.iter().zip(&mut outcomes) {
                if !outcome.is_empty() {
                    continue;
                }
                let members = self.groups.get(group).map(|inside| &inside.members);
                let size = members.map_or(0, |members| members.len());
                let Some(member) = members.and_then(|members| members.get(user)) else {
                    *outcome = "not_member";
                    continue;
                };
                if standing >= standing_of(member.role) {
                    *outcome = "forbidden";
                } else if member.role == Role::Owner && !owners {
                    continue;
                } else if member.role == Role::Owner && size > 1 {
                    *outcome = "owner_required";
                } else {
                    match size {
                        1 => self.end(group),
                        _ => self.expel(group, user),
                    }
                    *outcome = "removed";
                }
            }
        }
        Ok(outcomes)
    }

    pub(crate) fn set_role(&mut self, who: By<'_>, group: &str, user: &str, role: Role) -> Reasons {
        if let Err(no) = self.require(who, group, Standing::Owner) {
            return no;
        }
        let members = &mut self.group(group).members;
        let Some(member) = members.get(user) else {
            return vec!["not_member"];
        };
        if role == Role::Owner {
            for (id, other) in members.iter_mut() {
                if other.role == Role::Owner && id != user {
                    other.role = Role::Admin;
                }
            }
        } else if member.role == Role::Owner {
            // There is never more than one.
            return vec!["owner_required"];
        }
        let member = members.get_mut(user).unwrap();
        member.role = role;
        if role == Role::Owner {
            // Nobody could end it for them.
            member.muted_until_ms = 0;
        }
        vec![]
    }

    pub(crate) fn edit_member(
        &mut self,
        who: By<'_>,
        group: &str,
        user: &str,
        nickname: Option<&str>,
        muted_until: Option<i64>,
    ) -> Reasons {
        let standing = match self.standing(who, group) {
            Ok(standing) => standing,
            Err(no) => return no,
        };
        let name = self.name(user);
        let mut no = vec![];
        let member = self.group(group).members.get_mut(user);
        let below = member
            .as_ref()
            .is_some_and(|member| standing < standing_of(member.role));
        let own = who == Some(user);
        if muted_until.is_some() && !(below && standing <= Standing::Admin) {
            no.push("forbidden");
        }
        if nickname.is_some() && !own && !(below && standing <= Standing::Admin) {
            no.push("forbidden");
        }
        let Some(member) = member else {
            no.push("not_member");
            return no;
        };
        if !no.is_empty() {
            return no;
        }
        if let Some(nickname) = nickname {
            member.nickname = nickname.to_owned();
            member.name = match nickname.is_empty() {
                true => name,
                false => String::new(),
            };
        }
        if let Some(until) = muted_until {
            member.muted_until_ms = until;
        }
        vec![]
    }
}

/// What is changed about a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupEdit {
    pub(crate) name: Option<String>,
    pub(crate) join_policy: Option<JoinPolicy>,
    pub(crate) invited_by: Option<Circle>,
    pub(crate) seen_by: Option<Circle>,
    pub(crate) muted: Option<bool>,
    pub(crate) announcement: Option<String>,
    pub(crate) now: i64,
}

impl GroupEdit {
    const fn sets_rules(&self) -> bool {
        self.join_policy.is_some() || self.invited_by.is_some() || self.seen_by.is_some()
    }
}

/// What a service says of a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) to: To,
    pub(crate) last: LastMessage,
    pub(crate) mentions: BTreeSet<String>,
    pub(crate) mention_all: bool,
}

/// Which conversation.
#[derive(Clone, Debug)]
pub(crate) enum To {
    Pair(String, String),
    Group(String),
}
