//! Which containers make an application, and which applications are a user's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use headroom_model::resource::Resource;
use parking_lot::RwLock;

use super::totals::Totals;
use crate::documents::{Documents, texts};
use crate::fleet::Fleet;
use crate::store::{Body, Database};

/// Whom a container belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Its application.
    pub application: Option<Arc<str>>,
    /// Its application's user.
    pub user: Option<Arc<str>>,
}

/// Every application and user, with its totals.
#[derive(Debug)]
pub struct Groups(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    applications: BTreeMap<Arc<str>, Members>,
    users: BTreeMap<Arc<str>, Members>,
    of_container: HashMap<Arc<str>, Arc<str>>,
    of_application: HashMap<Arc<str>, Arc<str>>,
}

#[derive(Debug, Default)]
struct Members {
    names: Vec<Arc<str>>,
    totals: Arc<Totals>,
}

impl Groups {
    /// As the documents are now.
    pub fn new(documents: &Documents) -> Self {
        let groups = Self(RwLock::default());
        groups.read(documents);
        groups
    }

    /// Reads all of them again.
    pub(super) fn read(&self, documents: &Documents) {
        let mut inner = Inner::default();
        for name in documents.names(Database::Structures) {
            if let Some(members) = documents.in_force(Database::Structures, &name).as_ref().and_then(application_members) {
                inner.set_application(&name, Some(members));
            }
        }
        for name in documents.names(Database::Users) {
            let body = documents.in_force(Database::Users, &name);
            inner.set_user(&name, body.as_ref().map(user_members));
        }
        *self.0.write() = inner;
    }

    /// A document changed.
    pub(super) fn changed(&self, documents: &Documents, database: Database, name: &str) {
        match database {
            Database::Structures => {
                let members = documents.in_force(database, name).as_ref().and_then(application_members);
                self.0.write().set_application(name, members);
            }
            Database::Users => {
                let members = documents.in_force(database, name).as_ref().map(user_members);
                self.0.write().set_user(name, members);
            }
            _ => {}
        }
    }

    /// Works out the totals as they are now.
    pub(super) fn total(&self, fleet: &Fleet, metrics: &[Resource]) {
        let inner = &mut *self.0.write();
        for members in inner.applications.values_mut() {
            members.totals = Arc::new(Totals::of(&members.names, fleet, metrics));
        }
        for members in inner.users.values_mut() {
            let applications = members.names.iter().filter_map(|name| inner.applications.get(name));
            members.totals = Arc::new(Totals::sum(applications.map(|application| &*application.totals)));
        }
    }

    /// Whom a container belongs to.
    pub fn of(&self, container: &str) -> Owners {
        let inner = self.0.read();
        let application = inner.of_container.get(container).cloned();
        let user = application.as_ref().and_then(|application| inner.of_application.get(application)).cloned();
        Owners { application, user }
    }

    /// The containers of each application.
    pub fn applications(&self) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        self.0.read().applications.iter().map(|(name, members)| (Arc::clone(name), members.names.clone())).collect()
    }

    /// The containers of one application.
    pub fn members(&self, application: &str) -> Vec<Arc<str>> {
        self.0.read().applications.get(application).map(|members| members.names.clone()).unwrap_or_default()
    }

    /// An application's totals of the last window.
    pub fn application(&self, name: &str) -> Option<Arc<Totals>> {
        self.0.read().applications.get(name).map(|members| Arc::clone(&members.totals))
    }

    /// A user's totals of the last window.
    pub fn user(&self, name: &str) -> Option<Arc<Totals>> {
        self.0.read().users.get(name).map(|members| Arc::clone(&members.totals))
    }

    /// All of them, by where their documents are.
    pub fn all(&self) -> Vec<(Database, Arc<str>, Arc<Totals>)> {
        let inner = self.0.read();
        let of =
            |database| move |(name, members): (&Arc<str>, &Members)| (database, Arc::clone(name), Arc::clone(&members.totals));
        let applications = inner.applications.iter().map(of(Database::Structures));
        applications.chain(inner.users.iter().map(of(Database::Users))).collect()
    }
}

impl Inner {
    fn set_application(&mut self, name: &str, members: Option<Vec<Arc<str>>>) {
        if members.is_none() && !self.applications.contains_key(name) {
            return;
        }
        let name: Arc<str> = name.into();
        let before = self.applications.remove(&name).unwrap_or_default();
        for container in &before.names {
            if self.of_container.get(container) == Some(&name) {
                self.of_container.remove(container);
            }
        }
        if let Some(names) = members {
            for container in &names {
                self.of_container.insert(Arc::clone(container), Arc::clone(&name));
            }
            self.applications.insert(name, Members { names, totals: before.totals });
        }
    }

    fn set_user(&mut self, name: &str, members: Option<Vec<Arc<str>>>) {
        let name: Arc<str> = name.into();
        let before = self.users.remove(&name).unwrap_or_default();
        for application in &before.names {
            if self.of_application.get(application) == Some(&name) {
                self.of_application.remove(application);
            }
        }
        if let Some(names) = members {
            for application in &names {
                self.of_application.insert(Arc::clone(application), Arc::clone(&name));
            }
            self.users.insert(name, Members { names, totals: before.totals });
        }
    }
}

/// `None` for what is no application.
fn application_members(body: &Body) -> Option<Vec<Arc<str>>> {
    (body.get("subtype").and_then(|subtype| subtype.as_str()) == Some("application")).then(|| names(body, "containers"))
}

fn user_members(body: &Body) -> Vec<Arc<str>> {
    names(body, "clusters")
}

fn names(body: &Body, key: &str) -> Vec<Arc<str>> {
    body.get(key).into_iter().flat_map(texts).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|&name| name.into()).collect()
    }

    #[test]
    fn a_container_belongs_to_its_application_and_that_ones_user() {
        let groups = Groups(RwLock::default());
        let mut inner = groups.0.write();
        inner.set_application("app1", Some(names(&["c0", "c1"])));
        inner.set_user("ann", Some(names(&["app1"])));
        drop(inner);
        let both = Owners { application: Some("app1".into()), user: Some("ann".into()) };
        assert_eq!((groups.of("c1"), groups.of("c2")), (both, Owners::default()));
        groups.0.write().set_application("app1", Some(names(&["c0"])));
        assert_eq!(groups.of("c1"), Owners::default());
        groups.0.write().set_user("ann", None);
        assert_eq!(groups.of("c0"), Owners { application: Some("app1".into()), user: None });
        groups.0.write().set_application("app1", None);
        assert_eq!(groups.of("c0"), Owners::default());
    }
}
