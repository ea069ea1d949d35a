//! Who waits for whom: tenants, hosts, rates, order, limits.

use super::*;

fn other() -> TenantId {
    TenantId::new("other").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_tenant_with_many_endpoints_gets_no_more_than_one_with_a_single_one() {
    let mut house = House::new();
    house.limits.in_flight = 4;
    house.limits.per_endpoint = 4;
    for number in 0..20 {
        let to = house.register_for(&other(), &format!("h{number}.example.com")).await;
        house.enqueue_for(&other(), &to, 20).await;
    }
    let to = house.register(A).await;
    house.enqueue(&to, 40).await;
    let running = house.start();
    house.until("all delivered", |counts| counts.delivered == 440).await;
    let seen = house.script.seen.lock().unwrap().clone();
    let last = seen.iter().rposition(|(host, _, _)| host == A).unwrap();
    assert!(last < 120, "the only endpoint's 40 messages were through after {last} attempts");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_endpoints_all_hang_leaves_room_for_the_others() {
    let mut house = House::new();
    house.limits.in_flight = 6;
    house.limits.per_tenant = 4;
    for number in 0..10 {
        let host = format!("h{number}.example.com");
        house.script.always(&host, Says::Hang);
        let to = house.register_for(&other(), &host).await;
        house.enqueue_for(&other(), &to, 3).await;
    }
    let to = house.register(A).await;
    house.enqueue(&to, 100).await;
    let running = house.start();
    house.until("the healthy tenant's delivered", |counts| counts.delivered == 100).await;
    house.settle_down().await;
    assert_eq!(house.script.hanging.load(Ordering::SeqCst), 4);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn one_host_gets_no_more_than_its_cap_whoever_sends() {
    let mut house = House::new();
    house.hosts = HostLimit::new(3);
    house.script.always(A, Says::Hang);
    let (one, two) = (house.register(A).await, house.register_for(&other(), A).await);
    let elsewhere = house.register_for(&other(), B).await;
    house.enqueue(&one, 5).await;
    house.enqueue_for(&other(), &two, 5).await;
    house.enqueue_for(&other(), &elsewhere, 5).await;
    // A handshake, say.
    let endpoint = house.book.policy().check(&format!("https://{A}/handshake")).unwrap();
    let slot = house.hosts.try_enter(&endpoint).unwrap();
    let running = house.start();
    house.until("the other host's delivered", |counts| counts.delivered == 5).await;
    house.settle_down().await;
    assert_eq!(house.script.hanging.load(Ordering::SeqCst), 2, "and the handshake");
    drop(slot);
    house.settle_down().await;
    assert_eq!(house.script.hanging.load(Ordering::SeqCst), 3);
    house.script.always(A, Says::Status(204));
    house.script.unhang.notify_waiters();
    house.until("all delivered", |counts| counts.delivered == 15).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_refuses_is_asked_ten_times_a_second_whoever_sends() {
    let house = House::new();
    house.script.always(A, Says::Status(404));
    for number in 0..120 {
        let url = format!("https://{A}/in?number={number}");
        let (endpoint, key) =
            (house.book.policy().check(&url).unwrap(), SigningKey::from_bytes(&[9; 32]).unwrap());
        let to = house.book.register(&house.outbox, &acme(), &endpoint, &key).await.unwrap();
        house.enqueue(&to, 5).await;
    }
    let running = house.start();
    tokio::time::sleep(Duration::from_secs(20)).await;
    // Those under way when the rest is found to be too much, and what the rate allows.
    let seen = house.script.seen(A).len();
    assert!((100..=64 + 20 * 10 + 64).contains(&seen), "{seen} attempts");
    // Those that have to wait keep one message each from the others.
    let leased = house.outbox.counts().await.unwrap().leased;
    assert!(leased <= 120, "{leased} leased");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn others_failures_do_not_hold_up_an_endpoint_of_the_same_host_that_takes_messages() {
    let mut house = House::new();
    house.hosts = HostLimit::new(64).with_failures(Some(Rate::per_minute(60.try_into().unwrap())));
    let works = house.register(A).await;
    let running = house.start();
    house.enqueue(&works, 1).await;
    house.until("the first delivered", |counts| counts.delivered == 1).await;
    // As many failures as the host may have in five minutes, and one endpoint that has taken a message.
    let endpoint = house.book.policy().check(&format!("https://{A}/other")).unwrap();
    for _ in 0..300 {
        house.hosts.try_enter(&endpoint).unwrap().failed(tokio::time::Instant::now().into_std());
    }
    let waits = house.register_for(&other(), A).await;
    house.enqueue_for(&other(), &waits, 1).await;
    house.enqueue(&works, 200).await;
    house.until("delivered", |counts| counts.delivered == 201).await;
    house.settle_down().await;
    assert_eq!(house.outbox.counts().await.unwrap().delivered, 201, "the other one waits");
    tokio::time::sleep(MINUTE * 5).await;
    house.until("all delivered", |counts| counts.delivered == 202).await;
    running.shutdown().await.unwrap();
}

#[test]
fn an_address_is_one_host_in_every_form() {
    let policy = EndpointPolicy::new().with_address_literals();
    let limit = HostLimit::new(1);
    let enter = |url: &str| limit.try_enter(&policy.check(url).unwrap());
    let _slot = enter("https://93.184.216.34/").unwrap();
    assert!(enter("https://[::ffff:93.184.216.34]/").is_none());
    assert!(enter("https://[64:ff9b::5db8:d822]/").is_none());
    assert!(enter("https://93.184.216.35/").is_some());
    let _slot = enter("https://a.example.com/").unwrap();
    assert!(enter("https://A.example.com:443/x").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_gets_as_many_attempts_in_a_minute_as_it_takes() {
    let house = House::new();
    let to = house.register(A).await;
    let rate = Rate::per_minute(60.try_into().unwrap());
    house.book.limit_rate(&house.outbox, &acme(), &to, Some(rate)).await.unwrap();
    house.enqueue(&to, 20).await;
    let running = house.start();
    let mut before = 0;
    for second in 1..=6 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let seen = house.script.seen(A).len();
        assert!((second - 1..=second + 1).contains(&seen) && seen <= before + 2, "{seen} after {second} s");
        before = seen;
    }
    house.book.limit_rate(&house.outbox, &acme(), &to, None).await.unwrap();
    house.until("the rest at once", |counts| counts.delivered == 20).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn messages_with_one_key_are_delivered_in_order_over_retries() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.next(A, &[Says::Status(500)]);
    let mut ids = HashMap::<&str, Vec<MessageId>>::new();
    for number in 0..60 {
        let key = ["order:1", "order:2"][number % 2];
        let message = NewMessage::impersonal(&acme(), &to, b"{}".to_vec()).unwrap();
        let message = message.with_ordering_key(key).unwrap();
        ids.entry(key).or_default().push(house.outbox.enqueue(&message).await.unwrap());
    }
    let begun = tokio::time::Instant::now();
    let running = house.start();
    house.until("one order delivered", |counts| counts.delivered == 30).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "a verdict and the next claim go together");
    house.settle_down().await;
    assert_eq!(house.outbox.counts().await.unwrap().delivered, 30, "the other one waits for its first");
    house.pass(MINUTE).await;
    house.until("all delivered", |counts| counts.delivered == 60).await;
    let seen = house.script.seen(A);
    for (key, ids) in ids {
        let mut order: Vec<_> = seen.iter().filter(|id| ids.contains(id)).collect();
        order.dedup();
        assert_eq!(order, ids.iter().collect::<Vec<_>>(), "{key}");
    }
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn limits_of_nothing_still_let_one_message_through_at_a_time() {
    let mut house = House::new();
    (house.limits.in_flight, house.limits.per_endpoint, house.limits.per_tenant) = (0, 0, 0);
    (house.limits.held_bytes, house.limits.batch) = (0, 0);
    (house.limits.poll, house.limits.lease, house.limits.attempt_timeout) =
        (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    (house.limits.ack_window, house.limits.throttle_pause) = (Duration::ZERO, Duration::ZERO);
    house.hosts = HostLimit::new(0);
    let to = house.register(A).await;
    house.script.next(A, &[Says::Hang]);
    house.enqueue(&to, 3).await;
    let running = house.start();
    house.until("under way", |_| house.script.hanging.load(Ordering::SeqCst) == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.script.unhang.notify_one();
    house.until("all delivered", |counts| counts.delivered == 3).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn large_messages_are_held_ready_up_to_a_number_of_bytes() {
    let mut house = House::new();
    house.limits.held_bytes = 4 * NewMessage::MAX_PAYLOAD_LEN;
    let mut hosts = Vec::new();
    for number in 0..3 {
        let host = format!("h{number}.example.com");
        house.script.always(&host, Says::Hang);
        let to = house.register(&host).await;
        for _ in 0..6 {
            let message =
                NewMessage::impersonal(&acme(), &to, vec![b' '; NewMessage::MAX_PAYLOAD_LEN]).unwrap();
            house.outbox.enqueue(&message).await.unwrap();
        }
        hosts.push(host);
    }
    let running = house.start();
    house.settle_down().await;
    assert_eq!(house.outbox.counts().await.unwrap().leased, 4);
    for host in hosts {
        house.script.always(&host, Says::Status(204));
    }
    house.script.unhang.notify_waiters();
    house.until("all delivered", |counts| counts.delivered == 18).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_asked_once_and_gets_what_it_grants() {
    let house = House::new();
    let to = house.register(A).await;
    *house.script.pace.lock().unwrap() = Some(Pace::Unasked);
    house.script.next(A, &[Says::Hang]);
    house.enqueue(&to, 20).await;
    let running = house.start();
    house.settle_down().await;
    assert_eq!(house.script.seen(A).len(), 1, "none beside the one that asks");
    *house.script.pace.lock().unwrap() = Some(Pace::AtMost(Rate::per_minute(60.try_into().unwrap())));
    house.script.unhang.notify_one();
    let mut before = 1;
    for second in 1..=6 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let seen = house.script.seen(A).len();
        assert!((second..=second + 2).contains(&seen) && seen <= before + 2, "{seen} after {second} s");
        before = seen;
    }
    *house.script.pace.lock().unwrap() = Some(Pace::Free);
    house.until("the rest at once", |counts| counts.delivered == 20).await;
    running.shutdown().await.unwrap();
}
