use headroom_model::resource::Resource;
use proptest::prelude::*;

use super::*;
use crate::series::metric::{Field, Metric};

type Row = (i64, Vec<(usize, i64)>);

fn unpacked(bytes: &[u8]) -> Result<Vec<Row>, Damaged> {
    let mut unpacker = Unpacker::new(bytes);
    let mut rows = Vec::new();
    while let Some((at, cells)) = unpacker.advance()? {
        rows.push((at, cells.iter().collect()));
    }
    Ok(rows)
}

fn row() -> impl Strategy<Value = Row> {
    let value = prop_oneof![-300_000_i64..300_000, Just(0), Just(1 << 43), Just(-(1 << 43))];
    (
        any::<i32>().prop_map(i64::from),
        proptest::collection::btree_map(0_usize..64, value, 0..14).prop_map(|m| m.into_iter().collect()),
    )
}

fn cells(row: &[(usize, i64)]) -> Cells {
    let mut cells = Cells::default();
    for (place, value) in row {
        cells.set(*place, *value);
    }
    cells
}

proptest! {
    #[test]
    fn what_is_packed_comes_back(rows in proptest::collection::vec(row(), 0..40), start in 0_i64..2_000_000_000_000) {
        let rows: Vec<_> = rows.into_iter().map(|(at, row)| (start + at, row)).collect();
        let (mut packer, mut grows) = (Packer::default(), Vec::new());
        for (count, (at, row)) in rows.iter().enumerate() {
            packer.push(*at, &cells(row));
            prop_assert_eq!(packer.rows() as usize, count + 1);
            // What is buffered is read while it grows.
            prop_assert_eq!(unpacked(&packer.bytes).unwrap(), rows[..=count].to_vec());
            // It may be put aside after each row.
            let mut resumed = Packer::resume(grows).unwrap();
            resumed.push(*at, &cells(row));
            prop_assert_eq!((resumed.rows(), resumed.first()), (packer.rows(), packer.first()));
            grows = resumed.into_bytes();
            prop_assert_eq!(&grows, &packer.bytes);
        }
        let chunk = packer.take();
        prop_assert!(packer.rows() == 0 && packer.bytes.is_empty());
        prop_assert_eq!(unpacked(&chunk).unwrap(), rows.clone());

        let mut cell = Vec::new();
        join(&mut cell, &chunk);
        join(&mut cell, &[]);
        join(&mut cell, &chunk);
        let split: Vec<Vec<u8>> = split(&cell).map(|chunk| chunk.unwrap().to_vec()).collect();
        prop_assert_eq!(split, vec![chunk.clone(), Vec::new(), chunk]);
    }

    #[test]
    fn damage_is_an_error_or_other_rows_but_nothing_worse(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(rows) = unpacked(&bytes) {
            prop_assert!(rows.len() <= bytes.len());
            prop_assert_eq!(Packer::resume(bytes.clone()).map(|packer| packer.rows() as usize), Ok(rows.len()));
        }
        for chunk in split(&bytes).flatten() {
            prop_assert!(chunk.len() <= bytes.len());
        }
    }
}

#[test]
fn a_cut_chunk_is_damaged() {
    let mut packer = Packer::default();
    packer.push(1_700_000_000_000, &cells(&[(0, 1234), (63, -5)]));
    let chunk = packer.take();
    for length in 1..chunk.len() {
        assert_eq!(unpacked(&chunk[..length]), Err(Damaged), "{length}");
    }
    let mut cell = Vec::new();
    join(&mut cell, &chunk);
    assert_eq!(split(&cell[..cell.len() - 1]).collect::<Vec<_>>(), [Err(Damaged)]);
}

#[test]
fn a_container_takes_little() {
    let mut packer = Packer::default();
    let mut random = 1_u64;
    let fields = [Field::Usage, Field::Current, Field::Upper, Field::Lower, Field::Max, Field::Min];
    for minute in 0..12 {
        let mut row = Vec::new();
        for resource in [Resource::Cpu, Resource::Mem] {
            for (number, field) in fields.into_iter().enumerate() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Usage moves by up to 20 units, in hundredths; the others stand.
                let value = if field == Field::Usage {
                    10_000 + i64::try_from((random >> 33) % 2000).unwrap()
                } else {
                    17_500 + i64::try_from(number).unwrap()
                };
                row.push((Metric::of(resource, field).place(), value));
            }
        }
        row.sort_unstable();
        packer.push(1_700_000_000_000 + minute * 5000, &cells(&row));
    }
    let points = 12 * 12;
    assert!(packer.bytes.len() * 10 < points * 8, "{} bytes for {points} points", packer.bytes.len());
}
