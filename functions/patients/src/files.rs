//! The files that patients are imported from and exported to: a bucket that only these functions
//! use, and links that let a client upload or download one file for a few minutes.

use std::time::Duration;

use api::Problem;
use aws_sdk_s3::{
    Client,
    config::{
        Builder, RequestChecksumCalculation, ResponseChecksumValidation, timeout::TimeoutConfig,
    },
    error::SdkError,
    operation::head_object::HeadObjectError,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use store::{MissingSetting, aws_config, failure_code, setting};
use tokio::{sync::OnceCell, task::JoinSet};
use tracing::Instrument as _;

/// How long a link can be used, in seconds.
const LINK_SECONDS: u64 = 15 * 60;

/// How long one request for a part of a file may take. Parts are larger than what other services
/// are sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of a file is read at once, in bytes.
const PART: u64 = 4 * 1024 * 1024;

/// How often a part of a file is read if the response breaks off.
const ATTEMPTS: usize = 4;

/// Why a part of a file was not read.
enum Unread {
    NotAnswered(FileError),
    BrokenOff,
}

/// The bucket. Nothing is connected yet.
#[derive(Debug, Clone)]
pub struct Files {
    bucket: String,
    client: OnceCell<Client>,
}

store::from_environment!(Files);

/// A file that is read from one place to its end. While a part is worked on, the next is read.
#[derive(Debug)]
pub(crate) struct Ahead {
    files: Files,
    key: String,
    next: u64,
    end: u64,
    /// The part that is being read; nobody waits for it any more when this is dropped.
    reading: JoinSet<Result<Bytes, FileError>>,
}

impl Ahead {
    /// Begins to read a file of this length from this byte on.
    pub(crate) fn begin(files: &Files, key: String, from: u64, length: u64) -> Self {
        let mut ahead = Self {
            files: files.clone(),
            key,
            next: from,
            end: length,
            reading: JoinSet::new(),
        };
        ahead.read_next();
        ahead
    }

    /// The next part; `None` at the end of the file.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, FileError> {
        let part = match self.reading.join_next().await {
            None => return Ok(None),
            Some(Ok(part)) => part,
            Some(Err(broken)) => Err(FileError::Failed(broken.to_string())),
        };
        // A part that was not read is read again: without it, the file would seem to end here.
        self.next += part.as_ref().map_or(0, |part| part.len() as u64);
        self.read_next();
        part.map(Some)
    }

    fn read_next(&mut self) {
        if self.next < self.end {
            let (files, key, from) = (self.files.clone(), self.key.clone(), self.next);
            let reading = async move { files.read(&key, from, PART).await };
            self.reading.spawn(reading.in_current_span());
        }
    }
}

/// Why a file could not be read or written. Never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file that is written in parts: it is whole by now, or the bucket has given it up, as it does
    /// after a day.
    #[error("the bucket knows of no such upload")]
    NoSuchUpload,
    /// Anything else.
    #[error("the bucket does not do it: {0}")]
    Failed(String),
}

impl FileError {
    fn of<E: aws_sdk_s3::error::ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Self {
        match failure_code(error) {
            code if code == "NoSuchUpload" => Self::NoSuchUpload,
            code => Self::Failed(code),
        }
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        Self::unavailable(1, error)
    }
}

/// A link that lets whoever has it upload or download one file.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) url: String,
    pub(crate) expires_at: DateTime<Utc>,
}

/// A part of a file that is being written, as the bucket names it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Part {
    number: i32,
    tag: String,
}

impl Files {
    /// The bucket whose name is in `PATIENT_FILES_BUCKET`.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self {
            bucket: setting("PATIENT_FILES_BUCKET")?,
            client: OnceCell::new(),
        })
    }

    async fn client(&self) -> &Client {
        let client = async || {
            let shared = aws_config().await;
            let patience = TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(1))
                .operation_attempt_timeout(PATIENCE)
                .operation_timeout(2 * PATIENCE)
                .build();
            let config = Builder::from(shared)
                .timeout_config(patience)
                // A link that is used by a browser cannot carry the checksum of what it sends.
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
                // LocalStack has no host name for each bucket.
                .force_path_style(shared.endpoint_url().is_some())
                .build();
            Client::from_conf(config)
        };
        self.client.get_or_init(client).await
    }

    /// A link to upload a file of exactly this type and length.
    pub(crate) async fn upload_link(
        &self,
        key: &str,
        content_type: &str,
        length: i64,
    ) -> Result<Link, FileError> {
        let (links, expires_at) = links()?;
        let link = self
            .client()
            .await
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .content_length(length)
            .presigned(links)
            .await
            .map_err(|error| FileError::of(&error))?;
        Ok(Link {
            url: link.uri().to_owned(),
            expires_at,
        })
    }

    /// A link to download a file under this name.
    pub(crate) async fn download_link(&self, key: &str, name: &str) -> Result<Link, FileError> {
        let (links, expires_at) = links()?;
        let link = self
            .client()
            .await
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .response_content_disposition(format!("attachment; filename=\"{name}\""))
            .response_cache_control("no-store")
            .presigned(links)
            .await
            .map_err(|error| FileError::of(&error))?;
        Ok(Link {
            url: link.uri().to_owned(),
            expires_at,
        })
    }

    /// How long a file is, in bytes; `None` if there is none.
    pub(crate) async fn length(&self, key: &str) -> Result<Option<u64>, FileError> {
        let request = self.client().await.head_object();
        match request.bucket(&self.bucket).key(key).send().await {
            Ok(found) => Ok(found
                .content_length()
                .and_then(|length| length.try_into().ok())),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(HeadObjectError::is_not_found) =>
            {
                Ok(None)
            }
            Err(error) => Err(FileError::of(&error)),
        }
    }

    /// The bytes of a file from this one on, at most this many.
    async fn read(&self, key: &str, from: u64, most: u64) -> Result<Bytes, FileError> {
        let mut attempt = 1;
        loop {
            match self.read_once(key, from, most).await {
                // The client tries again by itself until there is an answer, and not beyond.
                Err(Unread::BrokenOff) if attempt < ATTEMPTS => attempt += 1,
                Err(Unread::BrokenOff) => {
                    return Err(FileError::Failed("the answer broke off".to_owned()));
                }
                Err(Unread::NotAnswered(error)) => return Err(error),
                Ok(bytes) => return Ok(bytes),
            }
        }
    }

    async fn read_once(&self, key: &str, from: u64, most: u64) -> Result<Bytes, Unread> {
        let range = format!("bytes={from}-{}", from + most - 1);
        let request = self.client().await.get_object();
        let request = request.bucket(&self.bucket).key(key).range(range);
        let found = request.send().await;
        let found = found.map_err(|error| Unread::NotAnswered(FileError::of(&error)))?;
        let body = found.body.collect().await;
        Ok(body.map_err(|_| Unread::BrokenOff)?.into_bytes())
    }

    /// Begins to write a file in parts. Returns the id of the upload.
    pub(crate) async fn begin(&self, key: &str, content_type: &str) -> Result<String, FileError> {
        let request = self.client().await.create_multipart_upload();
        let begun = request
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .send()
            .await
            .map_err(|error| FileError::of(&error))?;
        begun
            .upload_id
            .ok_or_else(|| FileError::Failed("an upload without an id".to_owned()))
    }

    /// Writes a part. One that was written before under the same number is replaced.
    pub(crate) async fn write(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        content: Vec<u8>,
    ) -> Result<Part, FileError> {
        let request = self.client().await.upload_part();
        let written = request
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload)
            .part_number(number)
            .body(ByteStream::from(content))
            .send()
            .await
            .map_err(|error| FileError::of(&error))?;
        let tag = written.e_tag.unwrap_or_default();
        Ok(Part { number, tag })
    }

    /// Makes the parts the file.
    pub(crate) async fn finish(
        &self,
        key: &str,
        upload: &str,
        parts: Vec<Part>,
    ) -> Result<(), FileError> {
        let parts = parts.into_iter().map(|part| {
            CompletedPart::builder()
                .part_number(part.number)
                .e_tag(part.tag)
                .build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let request = self.client().await.complete_multipart_upload();
        request
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload)
            .multipart_upload(parts)
            .send()
            .await
            .map_err(|error| FileError::of(&error))?;
        Ok(())
    }

    /// Deletes a file, if there is one.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), FileError> {
        let request = self.client().await.delete_object();
        let request = request.bucket(&self.bucket).key(key);
        request
            .send()
            .await
            .map_err(|error| FileError::of(&error))?;
        Ok(())
    }
}

fn links() -> Result<(PresigningConfig, DateTime<Utc>), FileError> {
    let expires_at = Utc::now() + TimeDelta::seconds(LINK_SECONDS.cast_signed());
    let links = PresigningConfig::expires_in(Duration::from_secs(LINK_SECONDS));
    let links = links.map_err(|error| FileError::Failed(error.to_string()))?;
    Ok((links, expires_at))
}
