import Foundation
import GRDB

extension SQLiteLedger {
    public func claim(worker: String, loadedModel: String?, at now: Date, policy: AttemptPolicy) throws -> Claim? {
        let time = now.timeIntervalSince1970
        let next = """
            FROM job WHERE state = 'queued' AND notBefore <= ?
            ORDER BY priority DESC,
                CASE WHEN createdAt <= ? THEN 0 WHEN model = ? THEN 1 ELSE 2 END, createdAt, "drop", ordinal
            LIMIT 1
            """
        // A look without the write lock first: an idle worker asks often.
        let isIdle = try read { db in
            try Bool.fetchOne(
                db, sql: "SELECT NOT EXISTS (SELECT 1 FROM job WHERE state = 'queued' AND notBefore <= ?)",
                arguments: [time]) ?? true
        }
        guard !isIdle else { return nil }
        return try write { db in
            guard try String.fetchOne(db, sql: "SELECT value FROM fact WHERE name = 'pause'") == nil else { return nil }
            guard
                let id = try String.fetchOne(
                    db, sql: "SELECT id " + next,
                    arguments: [time, time - policy.modelAffinityAge, loadedModel ?? ""])
            else { return nil }
            try db.execute(
                sql: """
                    UPDATE job SET state = 'running', epoch = epoch + 1, worker = ?, heartbeatAt = ?, startedAt = ?,
                        progress = NULL, outcome = NULL, publication = NULL
                    WHERE id = ?
                    """,
                arguments: [worker, time, time, id])
            guard let job = try Self.fetchJob(db, id) else { return nil }
            try db.execute(
                sql: "INSERT INTO attempt (job, epoch, worker, startedAt) VALUES (?, ?, ?, ?)",
                arguments: [id, job.epoch, worker, time])
            try Self.note(db, id, "claimed", "\(worker), attempt \(job.epoch)", at: now)
            return Claim(job: job, epoch: job.epoch, worker: worker)
        }
    }

    public func beat(_ claim: Claim, progress: RenderProgress?, at now: Date) throws -> ClaimStanding {
        try write { db in
            guard
                let cancelled = try Bool.fetchOne(
                    db, sql: "SELECT cancelRequested FROM job WHERE id = ? AND epoch = ? AND state = 'running'",
                    arguments: [claim.job.id.text, claim.epoch])
            else { return .lost }
            try db.execute(
                sql: "UPDATE job SET heartbeatAt = ?, progress = coalesce(?, progress) WHERE id = ?",
                arguments: [now.timeIntervalSince1970, try Self.encode(progress), claim.job.id.text])
            return cancelled ? .cancelRequested : .held
        }
    }

    public func complete(_ claim: Claim, outcome: RenderOutcome, at now: Date) throws -> Bool {
        try write { db in
            guard let job = try Self.held(db, claim) else { return false }
            try Self.endAttempt(db, claim, result: job.cancelRequested ? "cancelled" : "rendered", at: now)
            if job.cancelRequested {
                try Self.settle(db, claim.job.id.text, .cancelled, error: nil, at: now)
                return false
            }
            try db.execute(
                sql: "UPDATE job SET state = 'rendered', outcome = ?, worker = NULL WHERE id = ?",
                arguments: [try Self.encode(outcome), claim.job.id.text])
            return true
        }
    }

    @discardableResult
    public func end(_ claim: Claim, as end: AttemptEnd, at now: Date, policy: AttemptPolicy) throws -> JobState {
        try write { db in
            let id = claim.job.id.text
            guard let job = try Self.held(db, claim) else { return try Self.fetchJob(db, id)?.state ?? .cancelled }
            if job.cancelRequested {
                try Self.endAttempt(db, claim, result: "cancelled", at: now)
                try Self.settle(db, id, .cancelled, error: nil, at: now)
                return .cancelled
            }
            switch end {
            case .failed(let error), .lost(let error):
                try Self.endAttempt(db, claim, result: error.description, at: now)
                return try Self.retryOrFail(db, job, error, at: now, policy: policy)
            case .interrupted:
                try Self.endAttempt(db, claim, result: "interrupted", at: now)
                guard job.interruptions + 1 < policy.maximumInterruptions else {
                    let error = ServiceError(
                        .interrupted, "The service was interrupted \(job.interruptions + 1) times during this job.",
                        hint: "If it stopped the whole machine, try a lower resolution; else drop the file again.")
                    try Self.settle(db, id, .failed, error: error, at: now)
                    return .failed
                }
                try Self.requeue(db, id, notBefore: now, adding: "interruptions = interruptions + 1")
            case .released(let notBefore):
                try Self.endAttempt(db, claim, result: "released", at: now)
                try Self.requeue(db, id, notBefore: notBefore)
            }
            return .queued
        }
    }

    public func claims() throws -> [Claim] {
        try jobs(in: [.running]).map { Claim(job: $0, epoch: $0.epoch, worker: $0.worker ?? "") }
    }

    public func lastResult(ofWorker worker: String) throws -> String? {
        try read { db in
            try String.fetchOne(
                db,
                sql:
                    "SELECT result FROM attempt WHERE worker = ? AND endedAt IS NOT NULL ORDER BY endedAt DESC LIMIT 1",
                arguments: [worker])
        }
    }

    private static func held(_ db: Database, _ claim: Claim) throws -> JobRecord? {
        try fetchJobs(
            db, "WHERE job.id = ? AND job.epoch = ? AND job.state = 'running'", [claim.job.id.text, claim.epoch]
        ).first
    }

    private static func endAttempt(_ db: Database, _ claim: Claim, result: String, at now: Date) throws {
        try db.execute(
            sql: "UPDATE attempt SET endedAt = ?, result = ? WHERE job = ? AND epoch = ?",
            arguments: [now.timeIntervalSince1970, result, claim.job.id.text, claim.epoch])
        try note(db, claim.job.id.text, "attempt \(claim.epoch) ended", result, at: now)
    }

    static func requeue(_ db: Database, _ id: String, notBefore: Date, adding: String? = nil) throws {
        try db.execute(
            sql: """
                UPDATE job SET state = 'queued', worker = NULL, heartbeatAt = NULL, progress = NULL, outcome = NULL,
                    publication = NULL, notBefore = ?\(adding.map { ", " + $0 } ?? "")
                WHERE id = ?
                """,
            arguments: [notBefore.timeIntervalSince1970, id])
    }

    static func settle(_ db: Database, _ id: String, _ state: JobState, error: ServiceError?, at now: Date) throws {
        try db.execute(
            sql: "UPDATE job SET state = ?, error = ?, finishedAt = ?, worker = NULL, progress = NULL WHERE id = ?",
            arguments: [state.rawValue, try encode(error), now.timeIntervalSince1970, id])
        try note(db, id, state.rawValue, error?.description ?? "", at: now)
    }

    /// The poison guard: retryable errors get another attempt until their number is used up.
    static func retryOrFail(
        _ db: Database, _ job: JobRecord, _ error: ServiceError, at now: Date, policy: AttemptPolicy
    ) throws -> JobState {
        guard error.code.isRetryable else {
            try settle(db, job.id.text, .failed, error: error, at: now)
            return .failed
        }
        guard error.code.costsAttempt else {
            try requeue(db, job.id.text, notBefore: now.addingTimeInterval(policy.backOff))
            return .queued
        }
        let failures = job.failures + 1
        guard failures < policy.maximumFailures else {
            var last = error
            last.message = "Given up after \(failures) attempts. \(error.message)"
            try requeue(db, job.id.text, notBefore: now, adding: "failures = \(failures)")
            try settle(db, job.id.text, .failed, error: last, at: now)
            return .failed
        }
        let notBefore = now.addingTimeInterval(policy.delay(afterFailures: failures))
        try requeue(db, job.id.text, notBefore: notBefore, adding: "failures = \(failures)")
        return .queued
    }
}
