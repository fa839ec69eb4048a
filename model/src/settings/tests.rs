use super::*;

#[test]
fn defaults_are_the_documents() {
    let guardian = Guardian::read(&Service::Guardian.defaults()).unwrap();
    assert_eq!((guardian.window, guardian.delay, guardian.event_timeout), (10.0, 10.0, 100.0));
    assert_eq!((guardian.active, guardian.rejudge, guardian.guards), (true, false, Guards::Containers));
    assert_eq!(guardian.cooldown.to_string(), "0");
    assert_eq!(guardian.guardable, [Resource::Cpu]);
    assert_eq!(Guardian::read(&Rest::new()), Ok(guardian), "missing keys have their defaults");
    let scaler = Scaler::read(&Rest::new()).unwrap();
    assert_eq!(scaler, Scaler { active: true, polling: 5.0, request_timeout: 60.0, check_core_map: true });
    assert_eq!(Value::Object(Service::DatabaseSnapshoter.defaults())["SERVICES_PERSISTED"], json!(["guardian", "scaler"]));
    assert_eq!(Value::Object(Service::Refeeder.defaults())["WINDOW_DELAY"], json!(20));
}

#[test]
fn texts_are_converted() {
    assert_eq!(Service::Guardian.check("WINDOW_TIMELAPSE", &json!("0.1")), Ok(json!(0.1)));
    assert_eq!(Service::Guardian.check("ACTIVE", &json!("False")), Ok(json!(false)));
    assert_eq!(Service::Guardian.check("GUARDABLE_RESOURCES", &json!("mem")), Ok(json!(["mem"])));
    assert_eq!(Service::Guardian.check("MY_OWN", &json!({ "a": 1 })), Ok(json!({ "a": 1 })));
}

#[test]
fn nonsense_is_refused() {
    let refused = [
        ("WINDOW_TIMELAPSE", json!(0)),
        ("WINDOW_TIMELAPSE", json!("soon")),
        ("EVENT_TIMEOUT", json!(-5)),
        ("ACTIVE", json!("yes")),
        ("GUARDABLE_RESOURCES", json!(["cpu", "gpu"])),
        ("STRUCTURE_GUARDED", json!("host")),
    ];
    for (key, value) in refused {
        assert!(Service::Guardian.check(key, &value).is_err(), "{key} {value}");
    }
    let error = Service::Guardian.check("WINDOW_TIMELAPSE", &json!(0)).unwrap_err();
    assert_eq!(error.to_string(), "guardian.WINDOW_TIMELAPSE is 0, expected seconds, 0.01 or more");
}

#[test]
fn services_are_found_by_name() {
    for service in Service::ALL {
        assert_eq!(Service::of_name(service.name()), Some(service));
    }
    assert_eq!(Service::of_name("rebalancer"), None);
}
