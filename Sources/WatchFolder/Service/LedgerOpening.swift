import Foundation
import Logging

/// Opens the ledger; a damaged or missing one is replaced by what inbox and outbox tell.
enum LedgerOpening {
    static func open(
        layout: ServiceLayout, files: DurableFiles, clock: any ServiceClock, logger: Logger
    ) throws -> SQLiteLedger {
        let isNew = access(layout.ledgerFile.path, F_OK) != 0
        do {
            let ledger = try SQLiteLedger(file: layout.ledgerFile)
            try ledger.verify()
            if isNew { try rebuild(ledger, layout: layout, files: files, clock: clock, logger: logger) }
            return ledger
        } catch let error as ServiceError where error.code == .ledger {
            let aside = try setAside(layout: layout, at: clock.now())
            logger.error(
                "ledger is damaged: set aside and rebuilt", metadata: ["error": "\(error)", "kept": "\(aside)"])
            let ledger = try SQLiteLedger(file: layout.ledgerFile)
            try rebuild(ledger, layout: layout, files: files, clock: clock, logger: logger)
            return ledger
        }
    }

    private static func setAside(layout: ServiceLayout, at now: Date) throws -> String {
        let file = layout.ledgerFile.path
        let suffix = ".damaged-\(Int(now.timeIntervalSince1970))-\(UInt16.random(in: 0...9999))"
        for part in ["-wal", "-shm", ""] where access(file + part, F_OK) == 0 {
            guard rename(file + part, file + suffix + part) == 0 else {
                throw ServiceError.system("rename", "ledger", errno: errno)
            }
        }
        return DurableFiles.name(file) + suffix
    }

    /// Finishes publications that were under way, and remembers every film in the outbox by its inputs, so that none
    /// is made a second time.
    private static func rebuild(
        _ ledger: SQLiteLedger, layout: ServiceLayout, files: DurableFiles, clock: any ServiceClock, logger: Logger
    ) throws {
        finishStaged(layout: layout, files: files, logger: logger)
        var memories: [JobID: PublishedMemory] = [:]
        let records = outboxRecords(layout.outbox) + logRecords(layout.outbox.appendingPathComponent("log.jsonl"))
        for record in records {
            if let memory = memory(of: record) { memories[memory.jobID] = memory }
        }
        try ledger.remember(published: memories.values.sorted { $0.jobID.text < $1.jobID.text }, rebuiltAt: clock.now())
        if !memories.isEmpty { logger.notice("ledger rebuilt", metadata: ["films": "\(memories.count)"]) }
    }

    /// The film of a publication that was cut off is made visible with its record; the sheet beside it says how.
    private static func finishStaged(layout: ServiceLayout, files: DurableFiles, logger: Logger) {
        let root = layout.stagingRoot.path
        for name in (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? [] {
            let sheet = URL(fileURLWithPath: root + "/" + name + "/" + PublicationSheet.name)
            guard let bytes = try? Data(contentsOf: sheet),
                let content = try? JSONDecoder.ledger.decode(PublicationSheet.self, from: bytes)
            else { continue }
            do {
                try content.finish(staging: root + "/" + name, layout: layout, files: files)
            } catch {
                logger.error(
                    "publication cannot be finished", metadata: ["job": "\(content.job.id)", "error": "\(error)"])
            }
        }
    }

    private static func outboxRecords(_ outbox: URL) -> [JSONValue] {
        guard let walk = FileManager.default.enumerator(at: outbox, includingPropertiesForKeys: nil) else { return [] }
        var records: [JSONValue] = []
        for case let file as URL in walk where file.pathExtension == "json" {
            guard let bytes = try? Data(contentsOf: file),
                let record = try? JSONDecoder().decode(JSONValue.self, from: bytes)
            else { continue }
            records.append(record)
        }
        return records
    }

    private static func logRecords(_ file: URL) -> [JSONValue] {
        guard let bytes = try? Data(contentsOf: file, options: .alwaysMapped) else { return [] }
        return bytes.split(separator: UInt8(ascii: "\n")).compactMap {
            try? JSONDecoder().decode(JSONValue.self, from: Data($0))
        }
    }

    private static func memory(of record: JSONValue) -> PublishedMemory? {
        guard let object = record.objectValue, object["schema"]?.stringValue?.hasPrefix("dropreel.job/") == true,
            object["status"]?.stringValue == "done", let id = object["id"]?.stringValue.flatMap(JobID.init),
            let folder = object["folder"]?.stringValue, let inputs = object["inputs"]?.arrayValue,
            let ordinal = object["drop"]?.objectValue?["index"]?.integerValue,
            let siblings = object["drop"]?.objectValue?["count"]?.integerValue
        else { return nil }
        let digests = inputs.compactMap { $0.objectValue?["sha256"]?.stringValue }
        return PublishedMemory(
            key: PublishedMemory.key(folder: folder, digests: digests), ordinal: Int(ordinal), siblings: Int(siblings),
            jobID: id)
    }
}
