import FolderFixtures
import Foundation
import Logging
import Rules
import TestSupport
import Testing

@testable import WatchFolder

/// A fresh inbox, outbox and rules folder on the share, served by a service of its own, and two people who use them.
/// What people do and see goes through SMB.
final class ShareFolder {
    let server: SambaServer
    let layout: ServiceLayout
    /// Uses the share in most tests.
    let person: ShareClient
    private let service: RunningService?
    private var passages = 0

    /// - Parameter isServed: false leaves the folder without a service in this process.
    init(
        workers: WorkerSupply = .threads([{ FakeEngine() }]), isServed: Bool = true,
        options change: (inout ServiceOptions) -> Void = { _ in }
    ) throws {
        let server = try #require(SambaServer.current)
        self.server = server
        let root = server.root
        layout = ServiceLayout(
            inbox: root.appendingPathComponent("inbox"), outbox: root.appendingPathComponent("outbox"),
            rules: root.appendingPathComponent("rules"), state: root.appendingPathComponent("state"))
        for name in try FileManager.default.contentsOfDirectory(atPath: root.path) {
            try FileManager.default.removeItem(at: root.appendingPathComponent(name))
        }
        // As etc/smb.conf.example says.
        for folder in [layout.inbox, layout.outbox, layout.rules, layout.state] {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
            chown(folder.path, server.account.user, server.account.group)
            chmod(folder.path, folder == layout.state ? 0o750 : 0o2775)
        }
        person = try ShareClient(server, as: server.people[0])
        var options = ServiceOptions.quick
        options.quietPeriod = 0.3
        options.quietPeriodWithoutLease = 3
        options.rulesInterval = 1
        // Only events tell: whatever they leave out is not found within a test.
        options.usesWatcher = true
        options.watcherExecutable = BuiltProgram.url("dropreel-watcher").path
        options.scanInterval = 3600
        options.pollInterval = 3600
        change(&options)
        service = isServed ? try RunningService(layout: layout, options: options, workers: workers) : nil
    }

    deinit { service?.stop() }

    func secondPerson() throws -> ShareClient { try ShareClient(server, as: server.people[1]) }

    /// Runs a script of commands of smbclient.
    @discardableResult
    func smbclient(_ commands: String...) throws -> String {
        let (program, arguments) = try smbclientCall(commands.joined(separator: "; "))
        return try ChildProcess.run(program, arguments)
    }

    func smbclientCall(_ script: String) throws -> (program: String, arguments: [String]) {
        let person = server.people[0]
        return (
            try Tools().smbclient,
            [
                "--configfile=\(server.clientConfiguration.path)", "--port=\(server.port)", "--timeout=60",
                "--user=\(person.name)%\(person.password)", "//127.0.0.1/\(SambaServer.shareName)", "-c", script,
            ]
        )
    }

    // MARK: What the service knows

    var ledger: any Ledger {
        get throws { try #require(service).ledger }
    }

    /// Jobs of a stem, whatever became of them; all but those of `letPass` without one.
    func jobs(_ stem: String? = nil) throws -> [JobRecord] {
        try ledger.jobs(in: Set(JobState.allCases)).filter { job in
            stem.map { job.stem == $0 } ?? !job.stem.hasPrefix(Self.passage)
        }
    }

    func states(_ stem: String? = nil) throws -> [JobState] { try jobs(stem).map(\.state) }

    // MARK: What people see

    var status: String { person.text("outbox/STATUS.txt") ?? "" }

    /// Names in the outbox (or a folder of it), without those of `letPass`.
    func outputs(_ ending: String = ".mp4", in folder: String = "") -> [String] {
        person.names(folder.isEmpty ? "outbox" : "outbox/" + folder, ending).filter { !$0.hasPrefix(Self.passage) }
    }

    func record(_ path: String) throws -> [String: JSONValue] {
        try JSONDecoder().decode(JSONValue.self, from: person.get("outbox/" + path)).objectValue ?? [:]
    }

    /// Deletes a folder with what lies in it, as a file manager does; what the service puts there meanwhile, too.
    func remove(_ folder: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try until("\(folder) removed", sourceLocation: sourceLocation) {
            for name in person.names(folder) { try? person.delete(folder + "/" + name) }
            return (try? person.removeFolder(folder)) != nil
        }
    }

    // MARK: Waiting

    struct TimedOut: Error {}

    func until(
        _ what: String, within seconds: Double = 60, sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: () throws -> Bool
    ) throws {
        let end = SystemClock().uptime() + seconds
        repeat {
            if try condition() { return }
            usleep(5000)
        } while SystemClock().uptime() < end
        Issue.record("timed out: \(what)\n\(status)", sourceLocation: sourceLocation)
        throw TimedOut()
    }

    func untilFilms(_ count: Int, in folder: String = "", sourceLocation: SourceLocation = #_sourceLocation) throws {
        try until("\(count) films", sourceLocation: sourceLocation) {
            try outputs(".json", in: folder).count >= count && ledger.openDrops().isEmpty
        }
        #expect(outputs(in: folder).count == count, sourceLocation: sourceLocation)
    }

    /// The rules of these folders, just written, have been read: a service looks at all of them at once, and beside a
    /// broken one that was written after them it puts a text.
    func untilRules(_ folders: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
        try person.put("rules/marker.toml", "no_such_setting = 1\n")
        try until("rules \(folders) read", sourceLocation: sourceLocation) {
            person.names("rules").contains("marker.ERROR.txt")
        }
        try person.delete("rules/marker.toml")
        try until("marker forgotten", sourceLocation: sourceLocation) {
            !person.names("rules").contains("marker.ERROR.txt")
        }
    }

    private static let passage = "passage"

    /// Files dropped later go all the way to a job, twice: whatever was to be taken of what lay there before has been.
    func letPass(sourceLocation: SourceLocation = #_sourceLocation) throws {
        for _ in 0..<2 {
            passages += 1
            let stem = "\(Self.passage)\(passages)"
            try person.put("inbox/\(stem).prompt", "pass")
            try until("a later file taken", sourceLocation: sourceLocation) { try !jobs(stem).isEmpty }
        }
    }

    func openGate() throws { try Data().write(to: layout.state.appendingPathComponent("gate")) }

    /// A picture for the fake engine.
    static func picture(_ name: String, size: Int = 64) -> Data {
        Data("IMG \(name)".utf8) + Data(repeating: 0x2E, count: size) + Data("END".utf8)
    }
}
