//! Locks and atomics, replaceable by a model checker's.

#[cfg(not(gripstack_shuttle))]
pub(crate) use parking_lot::{Mutex, RwLock};
#[cfg(not(gripstack_shuttle))]
pub(crate) use std::sync::{Arc, atomic};

#[cfg(gripstack_shuttle)]
pub(crate) use self::model::{Mutex, RwLock};
#[cfg(gripstack_shuttle)]
pub(crate) use shuttle::sync::{Arc, atomic};

/// The model checker's locks behind the signatures of `parking_lot`.
#[cfg(gripstack_shuttle)]
mod model {
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);
    #[derive(Debug)]
    pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
            self.0.lock().expect("a model thread panicked")
        }
    }

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
            self.0.read().expect("a model thread panicked")
        }

        pub(crate) fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
            self.0.write().expect("a model thread panicked")
        }
    }
}
