import Foundation
import Testing

/// The watch folder behind a real Samba server. One server for all of it, one folder for each test.
@Suite(
    "The watch folder behind a real Samba server", .serialized,
    .enabled(
        if: SambaServer.isRequired || SambaServer.obstacle == nil,
        "DROPREEL_WITHOUT_SAMBA is set; a server needs root, samba and smbclient: scripts/install-packages.sh test"),
    .withSamba)
enum SambaSuite {}

/// Starts the server before the suite and ends it afterwards.
struct SambaTrait: SuiteTrait, TestScoping {
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let server = try SambaServer()
        defer { server.stop() }
        try await SambaServer.$current.withValue(server) { try await function() }
    }
}

extension Trait where Self == SambaTrait {
    static var withSamba: Self { SambaTrait() }
}
