import Foundation
import GRDB
import Rules

/// The ledger in one SQLite file: write-ahead log, `synchronous = FULL`, shared by the processes of one host.
///
/// `DatabaseQueue` serialises the threads of a process; SQLite's own lock serialises the processes.
public final class SQLiteLedger: Ledger {
    let database: DatabaseQueue

    /// Opens or creates the file and brings it to the newest schema.
    /// - Parameter busyTimeout: seconds to wait for another process's transaction.
    /// - Throws: `ServiceError` of code `ledger` when the file is not a sound database.
    public init(file: URL, busyTimeout: Double = 10) throws {
        var configuration = Configuration()
        configuration.busyMode = .timeout(busyTimeout)
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA journal_mode = WAL")
            try db.execute(sql: "PRAGMA synchronous = FULL")
        }
        do {
            database = try DatabaseQueue(path: file.path, configuration: configuration)
            try Self.migrator.migrate(database)
        } catch let error as DatabaseError {
            throw Self.translate(error)
        }
    }

    /// Runs SQLite's own check of the file.
    /// - Throws: `ServiceError` of code `ledger` when it finds damage.
    func verify() throws {
        let verdict = try read { db in try String.fetchAll(db, sql: "PRAGMA quick_check(5)") }
        guard verdict == ["ok"] else {
            throw ServiceError(
                .ledger, "The ledger is damaged.", hint: "It is set aside and rebuilt from inbox and outbox.",
                cause: verdict.joined(separator: "; "))
        }
    }

    func write<Value>(_ body: (Database) throws -> Value) throws -> Value {
        do { return try database.write(body) } catch let error as DatabaseError { throw Self.translate(error) }
    }

    func read<Value>(_ body: (Database) throws -> Value) throws -> Value {
        do { return try database.read(body) } catch let error as DatabaseError { throw Self.translate(error) }
    }

    /// Reads without a transaction: for single statements.
    func look<Value>(_ body: (Database) throws -> Value) throws -> Value {
        do { return try database.unsafeRead(body) } catch let error as DatabaseError { throw Self.translate(error) }
    }

    static func translate(_ error: DatabaseError) -> ServiceError {
        let cause = "SQLite \(error.extendedResultCode.rawValue): \(error.message ?? "")"
        switch error.resultCode {
        case .SQLITE_FULL:
            return ServiceError(
                .noSpace, "The disk is full (ledger).", hint: "Free some space; the work goes on by itself.",
                cause: cause)
        case .SQLITE_CORRUPT, .SQLITE_NOTADB:
            return ServiceError(
                .ledger, "The ledger is damaged.", hint: "It is set aside and rebuilt from inbox and outbox.",
                cause: cause)
        default:
            return ServiceError(
                .storage, "The ledger cannot be read or written.",
                hint: "Check the disk and the permissions of the state directory.", cause: cause)
        }
    }

    static func note(_ db: Database, _ job: String, _ kind: String, _ detail: String = "", at now: Date) throws {
        try db.execute(
            sql: "INSERT INTO event (at, job, kind, detail) VALUES (?, ?, ?, ?)",
            arguments: [now.timeIntervalSince1970, job, kind, detail])
    }
}
