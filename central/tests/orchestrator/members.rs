use serde_json::json;

use crate::support::Server;

#[test]
fn containers_join_and_leave_applications() {
    let server = Server::start();
    let containers = || server.shows("/structure/app1")["containers"].clone();
    server.put("/structure/container/cont0/app1", &json!({})).is_done("PUT");
    server.send("PUT", "/structure/container/cont1/app1/", &["Content-Type: application/json"], "").is_done("PUT");
    assert_eq!(containers(), json!(["cont0", "cont1"]));
    let none = json!(null);
    server.refuses(&[
        ("PUT", "/structure/container/cont0/app1", none.clone(), 400, "\"cont0\" belongs to \"app1\" already"),
        ("PUT", "/structure/container/cont0/app2", none.clone(), 400, "\"cont0\" belongs to \"app1\" already"),
        ("PUT", "/structure/container/cont9/app1", none.clone(), 404, "there is no container \"cont9\""),
        ("PUT", "/structure/container/app2/app1", none.clone(), 404, "there is no container \"app2\""),
        ("PUT", "/structure/container/cont0/app9", none.clone(), 404, "there is no application \"app9\""),
        ("PUT", "/structure/container/cont0/cont1", none.clone(), 404, "there is no application \"cont1\""),
        ("DELETE", "/structure/container/cont0/app2", none.clone(), 404, "\"cont0\" does not belong to \"app2\""),
        ("DELETE", "/structure/container/cont9/app1", none.clone(), 404, "there is no container"),
        ("DELETE", "/structure/container/cont0/app9", none, 404, "there is no application"),
    ]);
    server.delete("/structure/container/cont0/app1").is_done("DELETE");
    assert_eq!(containers(), json!(["cont1"]));
    server.put("/structure/container/cont0/app2", &json!({})).is_done("to another");
    assert_eq!(server.shows("/structure/app2")["containers"], json!(["gone", "cont0"]));
    server.delete("/structure/container/cont1/app1/").is_done("DELETE");
    assert_eq!(containers(), json!([]));
}

#[test]
fn applications_are_taken_and_given_up_by_users() {
    let server = Server::start();
    let resources = json!({"cpu": {"max": 1, "min": 0}, "mem": {"max": 1, "min": 0}});
    server.put("/user/user1", &json!({"user": {"name": "user1", "subtype": "user", "resources": resources}})).is_done("user1");
    server.put("/user/clusters/user0/app1", &json!({})).is_done("PUT");
    server.send("PUT", "/user/clusters/user0/app2/", &["Content-Type: application/json"], "").is_done("PUT");
    assert_eq!(server.shows("/user/user0")["clusters"], json!(["app1", "app2"]));
    let none = json!(null);
    server.refuses(&[
        ("PUT", "/user/clusters/user0/app1", none.clone(), 400, "\"app1\" belongs to \"user0\" already"),
        ("PUT", "/user/clusters/user1/app1", none.clone(), 400, "\"app1\" belongs to \"user0\" already"),
        ("PUT", "/user/clusters/user9/app1", none.clone(), 404, "there is no user \"user9\""),
        ("PUT", "/user/clusters/user0/app9", none.clone(), 404, "there is no application \"app9\""),
        ("PUT", "/user/clusters/user0/cont0", none.clone(), 404, "there is no application \"cont0\""),
        ("DELETE", "/user/clusters/user1/app1", none.clone(), 404, "\"app1\" does not belong to \"user1\""),
        ("DELETE", "/user/clusters/user9/app1", none.clone(), 404, "there is no user"),
        ("DELETE", "/user/clusters/user0/app9", none, 404, "there is no application"),
    ]);
    server.delete("/user/clusters/user0/app1").is_done("DELETE");
    server.put("/user/clusters/user1/app1", &json!({})).is_done("to another");
    server.delete("/user/clusters/user0/app2/").is_done("DELETE");
    assert_eq!(server.shows("/user/user0")["clusters"], json!([]));
    assert_eq!(server.shows("/user/user1")["clusters"], json!(["app1"]));
}

#[test]
fn of_many_who_want_a_container_one_gets_it() {
    let server = Server::start();
    let won = std::thread::scope(|scope| {
        let ask = |app| {
            let server = &server;
            scope.spawn(move || server.put(&format!("/structure/container/cont0/{app}"), &json!({})).status)
        };
        let asked: Vec<_> = (0..10).map(|n| ask(if n % 2 == 0 { "app1" } else { "app2" })).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).filter(|status| *status == 201).count()
    });
    assert_eq!(won, 1);
}
