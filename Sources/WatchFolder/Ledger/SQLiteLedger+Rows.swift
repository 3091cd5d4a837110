import Foundation
import GRDB
import Rules

extension SQLiteLedger {
    static let jobQuery = """
        SELECT job.*, "drop".folder AS folder, "drop".stem AS stem FROM job JOIN "drop" ON "drop".id = job."drop"
        """

    static func fetchJobs(_ db: Database, _ rest: String, _ arguments: StatementArguments = []) throws -> [JobRecord] {
        try Row.fetchAll(db, sql: jobQuery + " " + rest, arguments: arguments).map(jobRecord)
    }

    static func fetchJob(_ db: Database, _ id: String) throws -> JobRecord? {
        try fetchJobs(db, "WHERE job.id = ?", [id]).first
    }

    static func jobRecord(_ row: Row) throws -> JobRecord {
        JobRecord(
            id: try identifier(row["id"]),
            drop: try identifier(row["drop"]),
            ordinal: row["ordinal"],
            siblings: row["siblings"],
            folder: row["folder"],
            stem: row["stem"],
            state: try known(JobState(rawValue: row["state"])),
            settings: try decode(row["settings"]),
            seed: (row["seed"] as Int64?).map { UInt64(bitPattern: $0) },
            promptGiven: row["promptGiven"],
            promptUsed: row["promptUsed"],
            imageSHA256: row["imageSHA256"],
            audioSHA256: row["audioSHA256"],
            createdAt: date(row["createdAt"]),
            notBefore: date(row["notBefore"]),
            startedAt: (row["startedAt"] as Double?).map(date),
            finishedAt: (row["finishedAt"] as Double?).map(date),
            failures: row["failures"],
            interruptions: row["interruptions"],
            epoch: row["epoch"],
            worker: row["worker"],
            heartbeatAt: (row["heartbeatAt"] as Double?).map(date),
            cancelRequested: row["cancelRequested"],
            progress: try decode(row["progress"]),
            outcome: try decode(row["outcome"]),
            publication: try decode(row["publication"]),
            error: try decode(row["error"]),
            isLogged: row["logged"])
    }

    static func fetchDrops(_ db: Database, _ rest: String, _ arguments: StatementArguments = []) throws -> [DropRecord]
    {
        let rows = try Row.fetchAll(db, sql: "SELECT * FROM \"drop\" " + rest, arguments: arguments)
        return try rows.map { row in
            let id: String = row["id"]
            let inputs = try Row.fetchAll(
                db, sql: "SELECT * FROM input WHERE \"drop\" = ? ORDER BY role", arguments: [id])
            return DropRecord(
                id: try identifier(id),
                folder: row["folder"],
                stem: row["stem"],
                acceptedAt: date(row["acceptedAt"]),
                after: try known(AfterJob(rawValue: row["after"])),
                state: try known(DropRecord.State(rawValue: row["state"])),
                inputs: try inputs.map(inputRecord))
        }
    }

    static func inputRecord(_ row: Row) throws -> InputRecord {
        var input = InputRecord(
            role: try known(InputRecord.Role(rawValue: row["role"])),
            path: row["path"],
            name: row["name"],
            sha256: row["sha256"],
            identity: try known(decode(row["identity"])))
        input.disposition = try known(InputRecord.Disposition(rawValue: row["disposition"]))
        input.destination = row["destination"]
        return input
    }

    static func insert(_ db: Database, _ input: InputRecord, drop: String) throws {
        try db.execute(
            sql: """
                INSERT INTO input ("drop", role, path, name, sha256, identity, disposition)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                drop, input.role.rawValue, input.path, input.name, input.sha256, try encode(input.identity),
                input.disposition.rawValue,
            ])
    }

    static func encode(_ value: (some Encodable)?) throws -> String? {
        guard let value else { return nil }
        return String(decoding: try JSONEncoder.ledger.encode(value), as: UTF8.self)
    }

    private static func decode<Value: Decodable>(_ text: String?) throws -> Value? {
        guard let text else { return nil }
        return try JSONDecoder.ledger.decode(Value.self, from: Data(text.utf8))
    }

    private static func date(_ seconds: Double) -> Date { Date(timeIntervalSince1970: seconds) }

    private static func identifier(_ text: String) throws -> JobID { try known(JobID(text)) }

    private static func known<Value>(_ value: Value?) throws -> Value {
        guard let value else {
            throw ServiceError(
                .ledger, "The ledger holds a value that this version does not know.",
                hint: "Run the version that wrote it, or set the ledger aside to have it rebuilt.")
        }
        return value
    }
}
