//! Questions that rdkafka does not pass on to librdkafka. The only unsafe code of the workspace.
//!
//! Invariant: every object made here is destroyed here, by its guard; nothing borrowed from librdkafka leaves.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString},
    ptr::{self, NonNull},
    slice,
    time::Duration,
};

use bytes::Bytes;
use rdkafka::{
    ClientContext,
    bindings::{
        rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_broker,
        rd_kafka_AdminOptions_set_request_timeout, rd_kafka_AdminOptions_t, rd_kafka_DescribeTopics,
        rd_kafka_DescribeTopics_result_topics, rd_kafka_ListOffsets, rd_kafka_ListOffsets_result_infos,
        rd_kafka_ListOffsetsResultInfo_t, rd_kafka_ListOffsetsResultInfo_topic_partition,
        rd_kafka_OffsetSpec_t, rd_kafka_TopicCollection_destroy, rd_kafka_TopicCollection_of_topic_names,
        rd_kafka_TopicCollection_t, rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_partitions,
        rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_base64str, rd_kafka_admin_op_t,
        rd_kafka_error_code, rd_kafka_event_DescribeTopics_result, rd_kafka_event_ListOffsets_result,
        rd_kafka_event_destroy, rd_kafka_event_error, rd_kafka_event_log, rd_kafka_event_t,
        rd_kafka_header_cnt, rd_kafka_header_get_all, rd_kafka_message_headers, rd_kafka_message_status,
        rd_kafka_metadata, rd_kafka_metadata_destroy, rd_kafka_metadata_t, rd_kafka_msg_status_t,
        rd_kafka_queue_destroy, rd_kafka_queue_get_main, rd_kafka_queue_new, rd_kafka_queue_poll,
        rd_kafka_queue_t, rd_kafka_t, rd_kafka_topic_partition_list_add,
        rd_kafka_topic_partition_list_destroy, rd_kafka_topic_partition_list_new,
        rd_kafka_topic_partition_list_t,
    },
    client::Client,
    error::RDKafkaErrorCode,
    message::BorrowedMessage,
};
use schemas::{Partition, Position};

use crate::event_log::Header;

/// In place of an offset: the end.
const LATEST: i64 = rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64;
/// Most of what a client wants to tell that is looked through for the reason of a failure.
const TOLD_MAX: usize = 1_000;

/// What the cluster says of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// The cluster's name for this incarnation of the topic, as Kafka's own tools print it: base64, 22 characters.
    pub(super) topic_id: String,
    /// How many there are.
    pub(super) partitions: u32,
}

/// Something of librdkafka's that is ours to destroy.
struct Owned<T> {
    it: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(it: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(it).map(|it| Self { it, destroy })
    }

    fn ptr(&self) -> *mut T {
        self.it.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `it` was made for us by the function that `destroy` belongs to, and this is the only place that
        // destroys it; it is not used afterwards.
        unsafe { (self.destroy)(self.it.as_ptr()) }
    }
}

/// Asks the cluster for a topic. Blocks, at most for about `timeout`.
///
/// # Errors
/// What the cluster answered, or that it did not.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Described, RDKafkaErrorCode> {
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut names = [name.as_ptr()];
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // Any will do. Left to itself, the client asks the controller and waits for one.
    let broker = any_broker(client, timeout)?;
    // SAFETY: `client` is alive for the whole call, and with it the handle. `names` and the name in it live longer than
    // the collection, which copies them anyway. A null buffer of length 0 for the error text is allowed. Every result
    // is checked for null. The request keeps copies of collection and options, and its own hold on the queue: all three
    // may be destroyed while it is under way.
    let event = unsafe {
        let rk = client.native_ptr();
        let queue: Owned<rd_kafka_queue_t> = made(rd_kafka_queue_new(rk), rd_kafka_queue_destroy)?;
        let topics: Owned<rd_kafka_TopicCollection_t> = made(
            rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()),
            rd_kafka_TopicCollection_destroy,
        )?;
        let options = options(rk, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout_ms)?;
        rd_kafka_AdminOptions_set_broker(options.ptr(), broker, ptr::null_mut(), 0);
        rd_kafka_DescribeTopics(rk, topics.ptr(), options.ptr(), queue.ptr());
        Owned::new(rd_kafka_queue_poll(queue.ptr(), timeout_ms), rd_kafka_event_destroy)
    };
    described(&event.ok_or(RDKafkaErrorCode::OperationTimedOut)?)
}

/// Where partitions of a topic end now, asked in one request per broker. A partition without a leader, or whose leader does not answer within
/// `timeout`, is left out. Blocks, at most for about twice `timeout`: leaders may have to be found first.
///
/// # Errors
/// No leader is known, or nobody says who leads.
pub(crate) fn tails<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partitions: impl Iterator<Item = Partition>,
    timeout: Duration,
) -> Result<BTreeMap<Partition, Position>, RDKafkaErrorCode> {
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: as in `describe`: the client and the name are alive for the whole call, every result is checked for null, and the request
    // keeps copies of list and options, and its own hold on the queue. What is added to the list belongs to it and is written to before
    // anything else is added. A negative number of a partition is answered with an error.
    let event = unsafe {
        let rk = client.native_ptr();
        let queue: Owned<rd_kafka_queue_t> = made(rd_kafka_queue_new(rk), rd_kafka_queue_destroy)?;
        let list: Owned<rd_kafka_topic_partition_list_t> =
            made(rd_kafka_topic_partition_list_new(0), rd_kafka_topic_partition_list_destroy)?;
        for partition in partitions {
            let number = partition.0.cast_signed();
            let added = rd_kafka_topic_partition_list_add(list.ptr(), name.as_ptr(), number);
            if added.is_null() {
                return Err(RDKafkaErrorCode::Fail);
            }
            (*added).offset = LATEST;
        }
        let options = options(rk, rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout_ms)?;
        rd_kafka_ListOffsets(rk, list.ptr(), options.ptr(), queue.ptr());
        Owned::new(rd_kafka_queue_poll(queue.ptr(), timeout_ms.saturating_mul(2)), rd_kafka_event_destroy)
    };
    ends(&event.ok_or(RDKafkaErrorCode::OperationTimedOut)?)
}

fn ends(event: &Owned<rd_kafka_event_t>) -> Result<BTreeMap<Partition, Position>, RDKafkaErrorCode> {
    // SAFETY: the event is alive for the whole function, and what is asked of it lives as long as it does. The array has the length that
    // comes with it, and what is in it is read after its presence was checked.
    unsafe {
        check(rd_kafka_event_error(event.ptr()).into())?;
        let result = rd_kafka_event_ListOffsets_result(event.ptr());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let infos = rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        if infos.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let end = |info: &*const rd_kafka_ListOffsetsResultInfo_t| {
            let found = rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
            if found.is_null() || check((*found).err.into()).is_err() {
                return None;
            }
            // It is negative where nobody answered.
            Some((Partition((*found).partition.cast_unsigned()), Position::try_from((*found).offset).ok()?))
        };
        Ok(slice::from_raw_parts(infos, count).iter().filter_map(end).collect())
    }
}

/// What went wrong, and what the client says of a broker: the code alone does not tell a wrong password from a cut cable. For a client
/// that nobody polls; what else it wanted to tell is gone.
pub(super) fn why<C: ClientContext>(client: &Client<C>, code: RDKafkaErrorCode) -> String {
    // SAFETY: `client` is alive for the whole call. What is given is a hold on its queue, which the guard gives back.
    let queue = unsafe { Owned::new(rd_kafka_queue_get_main(client.native_ptr()), rd_kafka_queue_destroy) };
    let events = queue.iter().flat_map(|queue| {
        // SAFETY: the queue is alive, and each event is ours.
        let next = || unsafe { Owned::new(rd_kafka_queue_poll(queue.ptr(), 0), rd_kafka_event_destroy) };
        std::iter::from_fn(next).take(TOLD_MAX)
    });
    match events.filter_map(|event| failure(&event)).last() {
        Some(failure) => format!("{code}: {failure}"),
        None => code.to_string(),
    }
}

/// Why the client gets on with a broker no further, if that is what this event says.
fn failure(event: &Owned<rd_kafka_event_t>) -> Option<String> {
    let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the event is alive. It answers other than 0 if it is of another kind; both texts are its own, end with a zero, and are
    // copied before it is destroyed.
    unsafe {
        let code = rd_kafka_event_log(event.ptr(), &raw mut facility, &raw mut text, &raw mut level);
        if code != 0 || facility.is_null() || text.is_null() {
            return None;
        }
        (CStr::from_ptr(facility) == c"FAIL").then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}

/// The number of a broker that is there. Blocks, at most for about `timeout`.
pub(super) fn any_broker<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
) -> Result<i32, RDKafkaErrorCode> {
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let mut metadata = ptr::null();
    // SAFETY: `client` is alive for the whole call. No topic is named, which is allowed and asks for brokers alone. What
    // is given back is checked, destroyed by its guard, and read before that; its array has the length that comes with it.
    unsafe {
        let code = rd_kafka_metadata(client.native_ptr(), 0, ptr::null_mut(), &raw mut metadata, timeout_ms);
        check(code.into())?;
        let metadata = Owned::new(metadata.cast_mut(), destroy_metadata).ok_or(RDKafkaErrorCode::Fail)?;
        let found = *metadata.ptr();
        if found.brokers.is_null() || found.broker_cnt < 1 {
            return Err(RDKafkaErrorCode::BrokerNotAvailable);
        }
        Ok((*found.brokers).id)
    }
}

/// For a guard, which passes what may be changed.
unsafe extern "C" fn destroy_metadata(metadata: *mut rd_kafka_metadata_t) {
    // SAFETY: the guard passes what it owns.
    unsafe { rd_kafka_metadata_destroy(metadata.cast_const()) }
}

fn described(event: &Owned<rd_kafka_event_t>) -> Result<Described, RDKafkaErrorCode> {
    // SAFETY: the event is alive for the whole function, and what is asked of it lives as long as it does. The arrays have
    // the lengths that come with them; one description is read, after its presence was checked. The text of the id
    // belongs to the id, ends with a zero, and is copied.
    unsafe {
        check(rd_kafka_event_error(event.ptr()).into())?;
        let result = rd_kafka_event_DescribeTopics_result(event.ptr());
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let descriptions = rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if descriptions.is_null() || count != 1 {
            return Err(RDKafkaErrorCode::UnknownTopicOrPartition);
        }
        let description = *descriptions;
        let error = rd_kafka_TopicDescription_error(description);
        if !error.is_null() {
            check(rd_kafka_error_code(error).into())?;
        }
        let mut partitions = 0;
        rd_kafka_TopicDescription_partitions(description, &raw mut partitions);
        let id = rd_kafka_TopicDescription_topic_id(description);
        let text = if id.is_null() { ptr::null() } else { rd_kafka_Uuid_base64str(id) };
        if text.is_null() {
            return Err(RDKafkaErrorCode::UnsupportedFeature);
        }
        // Kafka's own tools write these two as they may stand in addresses.
        let topic_id = CStr::from_ptr(text).to_string_lossy().replace('+', "-").replace('/', "_");
        Ok(Described { topic_id, partitions: u32::try_from(partitions).unwrap_or(u32::MAX) })
    }
}

/// Whether it is certain that this message of a delivery report is not in the log and will not be.
pub(super) fn is_certainly_not_written(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message is alive for the whole call, and asking for its status only reads it.
    let status = unsafe { rd_kafka_message_status(message.ptr()) };
    status == rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// The headers of a message. What of a name is no UTF-8, as somebody else may write it, comes out as U+FFFD; rdkafka's own way
/// to read such a name panics.
pub(super) fn headers(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is alive for the whole function, and what is given back is its own and lives as long. Of each header
    // there is a name that ends with a zero, and a value that is null or has the length that comes with it; both are copied.
    unsafe {
        let found = rd_kafka_message_headers(message.ptr(), &raw mut headers);
        if check(found.into()).is_err() || headers.is_null() {
            return Vec::new();
        }
        let header = |index| {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            let found = rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut len);
            if check(found.into()).is_err() || name.is_null() {
                return None;
            }
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            let value = if value.is_null() { &[] } else { slice::from_raw_parts(value.cast::<u8>(), len) };
            Some(Header { name, value: Bytes::copy_from_slice(value) })
        };
        (0..rd_kafka_header_cnt(headers)).filter_map(header).collect()
    }
}

/// The options of a request, which may take so long.
///
/// # Safety
/// `rk` is the handle of a client that is alive for the whole call.
unsafe fn options(
    rk: *mut rd_kafka_t,
    op: rd_kafka_admin_op_t,
    timeout_ms: i32,
) -> Result<Owned<rd_kafka_AdminOptions_t>, RDKafkaErrorCode> {
    // SAFETY: the caller's handle is alive. The options are checked for null. A null buffer of length 0 for the error text is allowed.
    unsafe {
        let options = made(rd_kafka_AdminOptions_new(rk, op), rd_kafka_AdminOptions_destroy)?;
        rd_kafka_AdminOptions_set_request_timeout(options.ptr(), timeout_ms, ptr::null_mut(), 0);
        Ok(options)
    }
}

fn made<T>(it: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Owned<T>, RDKafkaErrorCode> {
    Owned::new(it, destroy).ok_or(RDKafkaErrorCode::Fail)
}

fn check(code: RDKafkaErrorCode) -> Result<(), RDKafkaErrorCode> {
    if code == RDKafkaErrorCode::NoError { Ok(()) } else { Err(code) }
}

/// Writes a record whose only header has this name, of whatever bytes; rdkafka takes only names that are UTF-8.
#[cfg(test)]
pub(super) fn write_with_header<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
    value: &str,
    header: &CStr,
) -> Result<(), RDKafkaErrorCode> {
    use rdkafka::bindings::{RD_KAFKA_MSG_F_COPY, rd_kafka_producev, rd_kafka_vtype_t as part};

    let topic = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    // SAFETY: the client is alive for the whole call and is a producer's. Each part is followed by what belongs to it, of the type that
    // librdkafka takes out, and lives for the whole call; everything is copied. The last part says that it is.
    let code = unsafe {
        rd_kafka_producev(
            client.native_ptr(),
            part::RD_KAFKA_VTYPE_TOPIC,
            topic.as_ptr(),
            part::RD_KAFKA_VTYPE_PARTITION,
            partition,
            part::RD_KAFKA_VTYPE_MSGFLAGS,
            RD_KAFKA_MSG_F_COPY,
            part::RD_KAFKA_VTYPE_VALUE,
            value.as_ptr(),
            value.len(),
            part::RD_KAFKA_VTYPE_HEADER,
            header.as_ptr(),
            c"1".as_ptr(),
            1_isize,
            part::RD_KAFKA_VTYPE_END,
        )
    };
    check(code.into())
}
