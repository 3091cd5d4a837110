import FolderFixtures
import Foundation
import TestSupport
import Testing

extension SambaSuite {
    /// The service as an account of the share's group, which owns nothing that people put there.
    @Suite struct UnprivilegedTests {
        /// The rights that `etc/dropreel.service` gives.
        private static let rightsOfUnit = ["--ambient-caps=+lease", "--inh-caps=+lease", "--bounding-set=-all,+lease"]
        private static let noRights = ["--bounding-set=-all"]

        private func start(_ share: ShareFolder, rights: [String], quietPeriodWithoutLease: Double) throws
            -> ChildProcess
        {
            // Where the account may enter, whatever the rights of the build folder.
            let program = share.server.root.deletingLastPathComponent().appendingPathComponent("dropreel-fake")
            if access(program.path, F_OK) != 0 {
                try FileManager.default.copyItem(
                    at: BuiltProgram.url("dropreel-fake"), to: program)
            }
            chmod(program.path, 0o755)
            let account = share.server.account
            return try ChildProcess(
                Tools.find("setpriv"),
                ["--reuid=\(account.user)", "--regid=\(account.group)", "--clear-groups", "--no-new-privs"] + rights + [
                    "--", Tools.find("env"), "FAKE_QUIET_WITHOUT_LEASE=\(quietPeriodWithoutLease)", program.path,
                    "serve", share.server.root.path, "1",
                ],
                output: share.server.root.deletingLastPathComponent().appendingPathComponent("service.out"))
        }

        @Test(
            "behaviours 4 and 21: with the unit's rights a file held open is not started, and results are everybody's")
        func asUnit() throws {
            let share = try ShareFolder(isServed: false)
            let other = try share.secondPerson()
            let service = try start(share, rights: Self.rightsOfUnit, quietPeriodWithoutLease: 3600)
            defer { service.end(within: 10) }
            let held = try share.person.create("inbox/held.prompt")
            try held.write(Data("a cat".utf8))
            for stem in ["one", "two", "three"] {
                try other.put("inbox/\(stem).prompt", "a dog")
                try share.until("\(stem) done") {
                    other.names("outbox", ".json").contains { $0.hasPrefix(stem + "_") }
                }
            }
            #expect(other.names("outbox").filter { $0.hasPrefix("held") }.isEmpty)
            try share.until("held told") { share.status.contains("held.prompt: another program still writes to it") }
            try held.write(Data(" that runs".utf8))
            try held.close()
            try share.until("held done") { other.names("outbox", ".json").contains { $0.hasPrefix("held_") } }
            let log = try #require(other.names("outbox", ".json").first { $0.hasPrefix("held_") })
            #expect(try share.record(log)["prompt"]?.objectValue?["given"]?.stringValue == "a cat that runs")
            // Inputs in a folder that a person made are taken out of it, and results come into one of the same name.
            try other.makeFolder("inbox/trip")
            try other.put("inbox/trip/cat.prompt", "a cat")
            try share.until("trip done") {
                other.names("outbox/trip", ".json").count == 1 && other.names("inbox/trip/_done") == ["cat.prompt"]
            }
            try share.remove("outbox/trip")
        }

        @Test("behaviour 4: without the right to leases the longer quiet period is kept")
        func withoutLeases() throws {
            let share = try ShareFolder(isServed: false)
            let quiet = 4.0
            let service = try start(share, rights: Self.noRights, quietPeriodWithoutLease: quiet)
            defer { service.end(within: 10) }
            try share.person.put("inbox/cat.prompt", "a cat")
            let closed = Date()
            try share.until("done") { !share.outputs(".json").isEmpty }
            let record = try share.record(share.outputs(".json")[0])
            let accepted = try #require(record["created_at"]?.stringValue.flatMap(ISO8601DateFormatter().date))
            // The log has whole seconds.
            #expect(accepted.timeIntervalSince(closed) > quiet - 1.5)
        }
    }
}
