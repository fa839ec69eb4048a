use super::*;

/// `struct outer { int a; struct { int b; int c; }; }`, `enum order { first = 3, second = 7 }`, and a tracepoint.
fn sample() -> Vec<u8> {
    let mut strings = vec![0_u8];
    let mut name = |text: &str| {
        let at = u32::try_from(strings.len()).unwrap();
        strings.extend(text.bytes().chain([0]));
        at
    };
    let words = [
        // 1: int
        vec![name("int"), 1 << 24, 4, 32],
        // 2: the anonymous struct
        vec![0, (STRUCT << 24) | 2, 8, name("b"), 1, 0, name("c"), 1, 32],
        // 3: outer, with a bit-field size in the high byte of an offset
        vec![name("outer"), (1 << 31) | (STRUCT << 24) | 2, 12, name("a"), 1, 5 << 24, 0, 2, 32],
        // 4: the enum
        vec![name("order"), (ENUM << 24) | 2, 4, name("first"), 3, name("second"), 7],
        // 5: a tracepoint's typedef
        vec![name("btf_trace_sched_switch"), TYPEDEF << 24, 1],
    ]
    .concat();
    let types: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let (types_len, strings_len) = (u32::try_from(types.len()).unwrap(), u32::try_from(strings.len()).unwrap());
    let head = [0x0001_eb9f, 24, 0, types_len, types_len, strings_len];
    [head.iter().flat_map(|word| word.to_ne_bytes()).collect(), types, strings].concat()
}

#[test]
fn members_are_found_also_through_anonymous_structs() {
    let btf = Btf::parse(sample()).unwrap();
    assert_eq!(btf.member("outer", "a").unwrap(), 0);
    assert_eq!(btf.member("outer", "b").unwrap(), 4);
    assert_eq!(btf.member("outer", "c").unwrap(), 8);
    assert_eq!(btf.member("outer", "d").unwrap_err().to_string(), "the kernel's BTF has no outer.d");
    assert_eq!(btf.member("oute", "a").unwrap_err().to_string(), "the kernel's BTF has no oute.a");
}

#[test]
fn enumerators_and_tracepoints_are_found() {
    let btf = Btf::parse(sample()).unwrap();
    assert_eq!(btf.enumerator("order", "second").unwrap(), 7);
    assert!(btf.enumerator("order", "third").is_err());
    assert!(btf.has_tracepoint("sched_switch"));
    assert!(!btf.has_tracepoint("sched_stat_runtime"));
}

#[test]
fn a_file_that_ends_early_is_an_error() {
    let whole = sample();
    for len in [0, 3, 10, 23, 30, 60] {
        assert!(matches!(Btf::parse(whole[..len].to_vec()), Err(BtfError::Malformed { .. })), "{len} bytes");
    }
}

#[test]
fn an_unknown_kind_is_an_error() {
    let mut data = sample();
    data[24 + 4 + 3] = 31;
    assert!(Btf::parse(data).is_err_and(|e| e.to_string().contains("unknown kind 31")));
}

#[test]
fn this_kernel_is_understood() {
    let btf = Btf::read(Path::new(VMLINUX)).unwrap();
    assert_eq!(btf.member("list_head", "prev").unwrap(), 8);
    assert!(btf.member("task_struct", "cgroups").unwrap() > 0);
    assert!(btf.has_tracepoint("sched_stat_runtime"));
}
