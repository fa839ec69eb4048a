//! Where the running kernel keeps what we follow: task -> cgroup -> id. The offsets come from the kernel's BTF and are set
//! by the agent before loading; the verifier then knows them as constants and checks each load against the types.

/// A global that the agent sets: constant for the verifier, not for the compiler.
macro_rules! from_btf {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        static $name: u64 = 0;
    )* };
}

from_btf! {
    /// `task_struct.pid`
    TASK_PID;
    /// `task_struct.cgroups`
    TASK_CGROUPS;
    /// 1 to follow the cpu controller (v1, hybrid), 0 to follow the v2 tree.
    BY_CONTROLLER;
    /// By controller `css_set.subsys[cpu_cgrp_id]`, a css; otherwise `css_set.dfl_cgrp`, a cgroup.
    CSS_SET_LEAF;
    /// From there: `serial_nr` of that css, or of the cgroup's own.
    LEAF_SERIAL;
    /// `cgroup_subsys_state.cgroup`
    CSS_CGROUP;
    /// `cgroup.self.parent`: the css of the cgroup above.
    CGROUP_PARENT;
    /// `cgroup.kn`
    CGROUP_KN;
    /// `kernfs_node.id`
    KN_ID;
}

/// Reads what the agent has set.
macro_rules! offset {
    ($name:ident) => {
        // SAFETY: a plain load; volatile, because the value is not the compiler's to know.
        unsafe { (&raw const $name).read_volatile() as usize }
    };
}

/// A pointer into kernel memory whose type the verifier knows.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Kernel(pub(crate) *const u8);

impl Kernel {
    #[inline(always)]
    fn load<T: Copy>(self, offset: usize) -> T {
        // SAFETY: the verifier has checked type and offset, and the load of a bad address gives 0.
        unsafe { self.0.wrapping_add(offset).cast::<T>().read_volatile() }
    }

    /// Whether this task is a CPU's idle one, whose time is nobody's.
    #[inline(always)]
    pub(crate) fn is_idle(self) -> bool {
        self.load::<u32>(offset!(TASK_PID)) == 0
    }

    /// Where this task is.
    #[inline(always)]
    pub(crate) fn leaf(self) -> Leaf {
        let css_set = Self(self.load(offset!(TASK_CGROUPS)));
        Leaf(Self(css_set.load(offset!(CSS_SET_LEAF))))
    }
}

/// The place of a task in the hierarchy that is followed.
#[derive(Clone, Copy)]
pub(crate) struct Leaf(Kernel);

impl Leaf {
    /// A number that no other place has or will have.
    #[inline(always)]
    pub(crate) fn serial(self) -> u64 {
        self.0.load(offset!(LEAF_SERIAL))
    }

    /// The cgroup that it is.
    #[inline(always)]
    pub(crate) fn cgroup(self) -> Cgroup {
        Cgroup(if offset!(BY_CONTROLLER) == 1 { Kernel(self.0.load(offset!(CSS_CGROUP))) } else { self.0 })
    }
}

/// A cgroup. That above a root is a null pointer, whose every load gives 0.
#[derive(Clone, Copy)]
pub(crate) struct Cgroup(Kernel);

impl Cgroup {
    /// Its id in its hierarchy: the inode of its directory.
    #[inline(always)]
    pub(crate) fn id(self) -> u64 {
        Kernel(self.0.load(offset!(CGROUP_KN))).load(offset!(KN_ID))
    }

    /// The one above.
    #[inline(always)]
    pub(crate) fn parent(self) -> Self {
        Self(Kernel(Kernel(self.0.load(offset!(CGROUP_PARENT))).load(offset!(CSS_CGROUP))))
    }
}
