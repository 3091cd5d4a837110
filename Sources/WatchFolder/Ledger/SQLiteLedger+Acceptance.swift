import Foundation
import GRDB
import Intake

extension SQLiteLedger {
    public func accept(_ drop: NewDrop) throws {
        try write { db in
            for old in drop.replaces {
                try Self.retire(
                    db, old.text, kind: "superseded", stopsRunning: drop.completes, at: drop.acceptedAt)
                try Self.dispose(db, old.text, as: .gone, roles: nil)
            }
            try db.execute(
                sql: "INSERT INTO \"drop\" (id, folder, stem, acceptedAt, after, state) VALUES (?, ?, ?, ?, ?, 'open')",
                arguments: [
                    drop.id.text, drop.folder, drop.stem, drop.acceptedAt.timeIntervalSince1970, drop.after.rawValue,
                ])
            for input in drop.inputs { try Self.insert(db, input, drop: drop.id.text) }
            for (ordinal, job) in drop.jobs.enumerated() { try Self.insert(db, job, ordinal: ordinal, of: drop) }
            if let refusal = drop.refusal, drop.jobs.isEmpty { try Self.insertRefused(db, refusal, of: drop) }
        }
    }

    private static func insert(_ db: Database, _ job: NewJob, ordinal: Int, of drop: NewDrop) throws {
        var state = JobState.queued
        var error: ServiceError?
        var kind = "accepted"
        switch job.settled {
        case nil: break
        case .refused(let reason): (state, error, kind) = (.failed, reason, "refused")
        case .published(let earlier):
            (state, kind) = (.done, "published earlier as \(earlier)")
            try db.execute(sql: "UPDATE memory SET used = 1 WHERE job = ?", arguments: [earlier.text])
        }
        let now = drop.acceptedAt.timeIntervalSince1970
        try db.execute(
            sql: """
                INSERT INTO job (id, "drop", ordinal, siblings, state, priority, model, settings, seed, promptGiven,
                    promptUsed, imageSHA256, audioSHA256, createdAt, notBefore, finishedAt, error, logged)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                job.id.text, drop.id.text, ordinal, drop.jobs.count, state.rawValue, job.settings.priority.value,
                job.settings.model.value, try encode(job.settings), Int64(bitPattern: job.seed), job.promptGiven,
                job.promptUsed, job.imageSHA256, job.audioSHA256, now, now, state.isFinal ? now : nil,
                try encode(error), state == .done,
            ])
        try note(db, job.id.text, kind, at: drop.acceptedAt)
    }

    private static func insertRefused(_ db: Database, _ refusal: ServiceError, of drop: NewDrop) throws {
        let now = drop.acceptedAt.timeIntervalSince1970
        try db.execute(
            sql: """
                INSERT INTO job (id, "drop", ordinal, siblings, state, priority, model, promptGiven, promptUsed,
                    createdAt, notBefore, finishedAt, error)
                VALUES (?, ?, 0, 1, 'failed', 0, '', '', '', ?, ?, ?, ?)
                """,
            arguments: [drop.id.text, drop.id.text, now, now, now, try encode(refusal)])
        try note(db, drop.id.text, "refused", refusal.message, at: drop.acceptedAt)
    }

    /// Queued and rendered jobs of a drop end here; running ones are asked to stop or go on.
    private static func retire(_ db: Database, _ drop: String, kind: String, stopsRunning: Bool, at now: Date) throws {
        let stoppable = stopsRunning ? "('queued', 'rendered')" : "('queued')"
        let ended = try String.fetchAll(
            db, sql: "SELECT id FROM job WHERE \"drop\" = ? AND state IN \(stoppable)", arguments: [drop])
        for id in ended {
            try db.execute(
                sql: "UPDATE job SET state = 'cancelled', finishedAt = ?, worker = NULL WHERE id = ?",
                arguments: [now.timeIntervalSince1970, id])
            try note(db, id, kind, at: now)
        }
        if stopsRunning {
            try db.execute(
                sql: "UPDATE job SET cancelRequested = 1 WHERE \"drop\" = ? AND state = 'running'", arguments: [drop])
        }
    }

    private static func dispose(
        _ db: Database, _ drop: String, as disposition: InputRecord.Disposition, roles: [String]?
    ) throws {
        let rows = try String.fetchAll(
            db, sql: "SELECT role FROM input WHERE \"drop\" = ? AND disposition IN ('waiting', 'kept', 'orphaned')",
            arguments: [drop])
        for role in rows where roles?.contains(role) ?? true {
            try db.execute(
                sql: "UPDATE input SET disposition = ? WHERE \"drop\" = ? AND role = ?",
                arguments: [disposition.rawValue, drop, role])
        }
    }

    public func cancel(drop: JobID, missing: Set<InputRecord.Role>, at now: Date) throws {
        try write { db in
            try Self.retire(db, drop.text, kind: "cancelled", stopsRunning: true, at: now)
            try Self.dispose(db, drop.text, as: .gone, roles: missing.map(\.rawValue))
            let rest = try String.fetchAll(
                db, sql: "SELECT role FROM input WHERE \"drop\" = ? AND disposition = 'waiting'", arguments: [drop.text]
            )
            try Self.dispose(db, drop.text, as: .orphaned, roles: rest)
        }
    }

    public func openDrops() throws -> [DropRecord] {
        try read { db in try Self.fetchDrops(db, "WHERE state = 'open' ORDER BY acceptedAt, id") }
    }

    public func drop(_ id: JobID) throws -> DropRecord? {
        try read { db in try Self.fetchDrops(db, "WHERE id = ?", [id.text]).first }
    }

    public func forEachKeptInput(_ body: (JobID, InputRecord) throws -> Void) throws {
        try read { db in
            // One row at a time: somebody who never tidies up has hundreds of thousands.
            let rows = try Row.fetchCursor(db, sql: "SELECT * FROM input WHERE disposition IN ('kept', 'orphaned')")
            while let row = try rows.next() {
                guard let drop = JobID(row["drop"] as String) else { continue }
                try body(drop, try Self.inputRecord(row))
            }
        }
    }

    public func forgetKept(path: String) throws {
        try write { db in
            try db.execute(
                sql: "UPDATE input SET disposition = 'gone' WHERE disposition IN ('kept', 'orphaned') AND path = ?",
                arguments: [path])
        }
    }

    public func relocate(
        drop: JobID, role: InputRecord.Role, path: String, identity: FileIdentity, stem: String?
    ) throws {
        try write { db in
            try db.execute(
                sql: "UPDATE input SET path = ?, identity = ? WHERE \"drop\" = ? AND role = ?",
                arguments: [path, try Self.encode(identity), drop.text, role.rawValue])
            if let stem {
                try db.execute(sql: "UPDATE \"drop\" SET stem = ? WHERE id = ?", arguments: [stem, drop.text])
            }
        }
    }
}
