import Foundation
import Synchronization

/// A real smbd on loopback with a port, a configuration, accounts and a share of its own, all below one temporary
/// folder. The share is the one of `etc/smb.conf.example`, with path and accounts put in place.
final class SambaServer: Sendable {
    /// The server of the running suite.
    @TaskLocal static var current: SambaServer?

    /// An account of the share.
    struct Person: Sendable {
        var name: String
        var password: String
    }

    static let shareName = "dropreel"

    /// What the share shows; belongs to `account` and `group`.
    let root: URL
    let port: UInt16
    /// The account that owns what lies in the share.
    let account: HostAccount
    /// Accounts that may use the share.
    let people: [Person]
    /// Configuration of clients.
    let clientConfiguration: URL
    private let home: URL
    private let process: ChildProcess

    init() throws {
        if let obstacle = Self.obstacle { throw CannotRun(reason: obstacle) }
        let tools = try Tools()
        let accounts = try HostAccount.ofOneGroup()
        let home = FileManager.default.temporaryDirectory.appendingPathComponent(
            "samba-\(UUID().uuidString)", isDirectory: true)
        var isUp = false
        defer { if !isUp { try? FileManager.default.removeItem(at: home) } }
        try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true)
        chmod(home.path, 0o755)
        self.home = home
        account = accounts[0]
        root = home.appendingPathComponent("share", isDirectory: true)
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        chown(root.path, account.user, account.group)
        chmod(root.path, 0o2775)
        clientConfiguration = home.appendingPathComponent("client.conf")
        try Data("[global]\n  workgroup = DROPREELTEST\n  netbios name = DROPREELCLIENT\n".utf8).write(
            to: clientConfiguration)
        port = try Self.freePort()
        let configuration = try SambaConfiguration(home: home, share: root, port: port, account: account).write()
        people = accounts.dropFirst().map { Person(name: $0.name, password: UUID().uuidString) }
        for person in people {
            let line = person.password + "\n"
            try ChildProcess.run(
                tools.smbpasswd, ["-c", configuration.path, "-s", "-a", person.name], input: line + line)
        }
        process = try ChildProcess(
            tools.smbd, ["--foreground", "--no-process-group", "--configfile=\(configuration.path)"],
            output: home.appendingPathComponent("smbd.out"))
        try awaitAnswer()
        isUp = true
    }

    /// Ends smbd with all that serve its connections, and removes what it left.
    func stop() {
        process.end(within: 10)
        try? FileManager.default.removeItem(at: home)
    }

    private func awaitAnswer() throws {
        let end = Date().addingTimeInterval(60)
        while Date() < end, process.isRunning {
            if (try? ShareClient(self, as: people[0]).list("")) != nil { return }
            usleep(20_000)
        }
        process.end(within: 5)
        let log = ["smbd.out", "log.smbd"].compactMap {
            try? String(contentsOf: home.appendingPathComponent($0), encoding: .utf8)
        }
        throw CannotRun(reason: "smbd does not answer: " + log.joined(separator: "\n").suffix(2000))
    }

    private static func freePort() throws -> UInt16 {
        let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(probe) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutableBytes(of: &address) { bytes in
            let pointer = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            return bind(probe, pointer, length) == 0 && getsockname(probe, pointer, &length) == 0
        }
        guard isBound else { throw CannotRun(reason: "no free port: " + String(cString: strerror(errno))) }
        return UInt16(bigEndian: address.sin_port)
    }
}

// MARK: Whether it can run here

extension SambaServer {
    struct CannotRun: Error, CustomStringConvertible {
        var reason: String
        var description: String { "The tests against Samba cannot run: \(reason)" }
    }

    /// What stands in the way on this machine, if anything; said aloud once.
    static let obstacle: String? = {
        var reason: String?
        if geteuid() != 0 {
            reason = "smbd changes accounts and needs root"
        } else {
            do {
                _ = try Tools()
                _ = try HostAccount.ofOneGroup()
            } catch {
                reason = "\(error)"
            }
        }
        if let reason {
            FileHandle.standardError.write(Data("WARNING: \(CannotRun(reason: reason))\n".utf8))
        }
        return reason
    }()

    /// A missing server is a failure and not an excuse, unless somebody says that it is known.
    static let isRequired = ProcessInfo.processInfo.environment["DROPREEL_WITHOUT_SAMBA"] == nil
}

/// The programs of Samba.
struct Tools {
    let smbd: String
    let smbpasswd: String
    let smbclient: String

    init() throws {
        smbd = try Self.find("smbd")
        smbpasswd = try Self.find("smbpasswd")
        smbclient = try Self.find("smbclient")
    }

    static func find(_ name: String) throws -> String {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        for folder in folders + ["/usr/sbin", "/usr/bin"] where access("\(folder)/\(name)", X_OK) == 0 {
            return "\(folder)/\(name)"
        }
        throw SambaServer.CannotRun(reason: "\(name) is not installed; run scripts/install-packages.sh test")
    }
}
