//! Locks and atomics, replaceable by a model checker's.

#[cfg(not(gripstack_shuttle))]
pub(crate) use parking_lot::{Mutex, RwLock};
#[cfg(not(gripstack_shuttle))]
pub(crate) use std::sync::{Arc, atomic};

#[cfg(gripstack_shuttle)]
pub(crate) use self::model::{Mutex, RwLock};
#[cfg(gripstack_shuttle)]
pub(crate) use shuttle::sync::{Arc, atomic};

/// A number of the thread: others have others, until there are very many.
pub(crate) fn thread_number() -> usize {
    #[cfg(gripstack_shuttle)]
    return usize::from(shuttle::current::me());
    #[cfg(not(gripstack_shuttle))]
    {
        static NEXT: atomic::AtomicUsize = atomic::AtomicUsize::new(0);
        thread_local! {
            static NUMBER: usize = NEXT.fetch_add(1, atomic::Ordering::Relaxed);
        }
        NUMBER.with(|number| *number)
    }
}

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

    impl<T: Default> Default for RwLock<T> {
        fn default() -> Self {
            Self::new(T::default())
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
