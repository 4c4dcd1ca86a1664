//! Tests against a real server, which the script of the gateway's tests starts: one for all tests of a process.

mod crash;
mod doubt;
mod erase;
mod server;
mod trim;

use super::Scylla;
pub(in crate::store) use server::Tables;

mod presence {
    use super::{Scylla, Tables};

    fn open(router: crate::machine::Router) -> (Box<dyn crate::store::Adapter>, Scylla) {
        let scylla = Tables::new().open();
        (scylla.presence(router), scylla)
    }

    // The suite takes the adapter itself.
    crate::store::suite::store_suite!(|router| {
        let (adapter, guard) = open(router);
        (Boxed(adapter), guard)
    });

    struct Boxed(Box<dyn crate::store::Adapter>);

    impl crate::store::Adapter for Boxed {
        fn put_seen(&mut self, rows: &[crate::machine::store::SeenRow]) -> Result<(), crate::store::Failure> {
            self.0.put_seen(rows)
        }

        fn get_seen(
            &mut self,
            users: &[schema::Key],
        ) -> Result<Vec<schema::LastSeen>, crate::store::Failure> {
            self.0.get_seen(users)
        }

        fn journal(
            &mut self,
            shard: schema::ShardId,
            after: Option<&schema::Key>,
        ) -> Result<crate::store::Page, crate::store::Failure> {
            self.0.journal(shard, after)
        }

        fn all_seen(
            &mut self,
            after: Option<&schema::Key>,
            limit: usize,
        ) -> Result<Vec<(schema::Key, u64)>, crate::store::Failure> {
            self.0.all_seen(after, limit)
        }

        fn forget(&mut self, user: &schema::Key) -> Result<bool, crate::store::Failure> {
            self.0.forget(user)
        }

        fn recover(&mut self) -> Result<(), crate::store::Failure> {
            self.0.recover()
        }
    }
}
