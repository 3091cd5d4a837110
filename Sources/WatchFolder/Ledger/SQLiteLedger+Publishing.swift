import Foundation
import GRDB

extension SQLiteLedger {
    public func jobs(in states: Set<JobState>, limit: Int) throws -> [JobRecord] {
        // The first of each state by the index alone: with thousands waiting, sorting them all would read them all.
        let first = states.map {
            """
            SELECT id FROM (
                SELECT id FROM job WHERE state = '\($0.rawValue)' ORDER BY priority DESC, createdAt LIMIT \(limit))
            """
        }
        return try read { db in
            try Self.fetchJobs(
                db,
                """
                WHERE job.id IN (\(first.sorted().joined(separator: " UNION ALL ")))
                ORDER BY priority DESC, createdAt, "drop", ordinal LIMIT ?
                """, [limit])
        }
    }

    public func job(_ id: JobID) throws -> JobRecord? {
        try read { db in try Self.fetchJob(db, id.text) }
    }

    public func queue(limit: Int) throws -> [JobRecord] {
        try read { db in
            try Self.fetchJobs(
                db, "WHERE job.state = 'queued' ORDER BY priority DESC, createdAt, \"drop\", ordinal LIMIT ?", [limit])
        }
    }

    public func record(_ publication: Publication, for job: JobID) throws {
        try write { db in
            try db.execute(
                sql: """
                    UPDATE job SET state = 'publishing', publication = ?
                    WHERE id = ? AND state IN ('rendered', 'publishing')
                    """,
                arguments: [try Self.encode(publication), job.text])
            guard db.changesCount == 1 else {
                throw ServiceError(
                    .ledger, "Job \(job) is not waiting to be published.", hint: "It was cancelled meanwhile.")
            }
        }
    }

    public func finish(_ job: JobID, at now: Date) throws {
        try write { db in
            try Self.settle(db, job.text, .done, error: nil, at: now)
            try db.execute(sql: "UPDATE job SET logged = 1 WHERE id = ?", arguments: [job.text])
        }
    }

    @discardableResult
    public func reject(_ job: JobID, error: ServiceError, at now: Date, policy: AttemptPolicy) throws -> JobState {
        try write { db in
            guard let record = try Self.fetchJob(db, job.text), !record.state.isFinal else { return .cancelled }
            try Self.note(db, job.text, "rejected", error.description, at: now)
            return try Self.retryOrFail(db, record, error, at: now, policy: policy)
        }
    }

    public func unloggedJobs() throws -> [JobRecord] {
        try read { db in
            try Self.fetchJobs(db, "WHERE job.logged = 0 AND job.state = 'failed' ORDER BY finishedAt")
        }
    }

    public func markLogged(_ job: JobID) throws {
        try write { db in try db.execute(sql: "UPDATE job SET logged = 1 WHERE id = ?", arguments: [job.text]) }
    }

    public func finishedDrops() throws -> [(drop: DropRecord, jobs: [JobRecord])] {
        try read { db in
            let drops = try Self.fetchDrops(
                db,
                """
                WHERE state = 'open' AND NOT EXISTS (
                    SELECT 1 FROM job WHERE job."drop" = "drop".id AND job.state NOT IN ('done', 'failed', 'cancelled'))
                ORDER BY acceptedAt
                """)
            return try drops.map { drop in
                (drop, try Self.fetchJobs(db, "WHERE job.\"drop\" = ? ORDER BY ordinal", [drop.id.text]))
            }
        }
    }

    public func setDisposition(
        _ disposition: InputRecord.Disposition, destination: String?, drop: JobID, role: InputRecord.Role
    ) throws {
        try write { db in
            try db.execute(
                sql: "UPDATE input SET disposition = ?, destination = ? WHERE \"drop\" = ? AND role = ?",
                arguments: [disposition.rawValue, destination, drop.text, role.rawValue])
        }
    }

    public func close(drop: JobID) throws {
        try write { db in
            try db.execute(sql: "UPDATE \"drop\" SET state = 'closed' WHERE id = ?", arguments: [drop.text])
        }
    }
}
