import Foundation
import Rules

/// The JSON log of one job: the file beside the film, and one line of `log.jsonl`.
///
/// Relative names only; no path of the host.
enum JobLog {
    /// Grows when a key changes its meaning or goes away.
    static let schema = "dropreel.job/1"

    /// - Parameters:
    ///   - inputs: name, role and digest of each input of the drop.
    ///   - publishSeconds: from the first sync to the film's rename; nil for a failed job.
    static func record(
        of job: JobRecord, inputs: [InputRecord], publication: Publication?, publishSeconds: Double?,
        at now: Date, programVersion: String
    ) throws -> JSONValue {
        var object = job.outcome?.report ?? [:]
        var timings = object["timings"]?.objectValue ?? [:]
        if let started = job.startedAt { timings["queue"] = .number(rounded(started.timeIntervalSince(job.createdAt))) }
        if let publishSeconds { timings["publish"] = .number(rounded(publishSeconds)) }
        object["timings"] = .object(timings)
        try describe(job, inputs: inputs, in: &object)
        object["finished_at"] = .string(ISO8601DateFormatter().string(from: now))
        object["program_version"] = .string(programVersion)
        if let publication {
            object["output"] = .object([
                "name": .string(publication.film), "sha256": .string(publication.filmSHA256),
                "poster": publication.posterSHA256 == nil ? .null : .string(publication.poster),
                "contact_sheet": publication.sheetSHA256 == nil ? .null : .string(publication.sheet),
            ])
        }
        object["error"] = job.error.map(describe(error:)) ?? .null
        return .object(object)
    }

    /// What is known of a job before it runs: goes into the film's `dropreel` metadata as well.
    static func order(of job: JobRecord, inputs: [InputRecord], programVersion: String) throws -> JSONValue {
        var object: [String: JSONValue] = [:]
        try describe(job, inputs: inputs, in: &object)
        object["status"] = nil
        object["program_version"] = .string(programVersion)
        return .object(object)
    }

    private static func describe(
        _ job: JobRecord, inputs: [InputRecord], in object: inout [String: JSONValue]
    ) throws {
        object["schema"] = .string(schema)
        object["id"] = .string(job.id.text)
        object["status"] = .string(job.error == nil ? "done" : "failed")
        object["folder"] = .string(job.folder)
        object["drop"] = .object([
            "id": .string(job.drop.text), "index": .integer(Int64(job.ordinal)), "count": .integer(Int64(job.siblings)),
        ])
        object["inputs"] = .array(
            inputs.map { input in
                .object([
                    "name": .string(input.name), "role": .string(input.role.rawValue), "sha256": .string(input.sha256),
                ])
            })
        object["prompt"] = .object(["given": .string(job.promptGiven), "used": .string(job.promptUsed)])
        object["seed"] = job.seed.map { .integer(Int64(bitPattern: $0)) } ?? .null
        object["attempts"] = .integer(Int64(job.epoch))
        object["created_at"] = .string(ISO8601DateFormatter().string(from: job.createdAt))
        object["audio_sha256"] = job.audioSHA256.map { .string($0) } ?? .null
        object["image_sha256"] = job.imageSHA256.map { .string($0) } ?? .null
        if let settings = job.settings {
            object["mode"] = .string(settings.mode.rawValue)
            object["settings"] = try JSONValue.encoding(settings)
            if object["model"] == nil { object["model"] = .string(settings.model.value) }
        }
    }

    private static func describe(error: ServiceError) -> JSONValue {
        .object([
            "code": .string(error.code.rawValue), "message": .string(error.message), "hint": .string(error.hint),
            "cause": error.cause.map { .string($0) } ?? .null,
        ])
    }

    private static func rounded(_ seconds: Double) -> Double { (seconds * 1000).rounded() / 1000 }
}
