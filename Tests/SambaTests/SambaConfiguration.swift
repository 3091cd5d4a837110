import Foundation

/// `smb.conf`: a server without network names around the share section of `etc/smb.conf.example`.
struct SambaConfiguration {
    var home: URL
    var share: URL
    var port: UInt16
    var account: HostAccount

    func write() throws -> URL {
        for folder in ["lock", "state", "cache", "pid", "private", "ncalrpc"] {
            try FileManager.default.createDirectory(
                at: home.appendingPathComponent(folder), withIntermediateDirectories: true)
        }
        let file = home.appendingPathComponent("smb.conf")
        try Data((global + "\n" + section()).utf8).write(to: file)
        return file
    }

    private var global: String {
        """
        [global]
            workgroup = DROPREELTEST
            netbios name = DROPREELSERVER
            server role = standalone server
            disable netbios = yes
            interfaces = 127.0.0.1/8
            bind interfaces only = yes
            smb ports = \(port)
            lock directory = \(home.path)/lock
            state directory = \(home.path)/state
            cache directory = \(home.path)/cache
            pid directory = \(home.path)/pid
            private dir = \(home.path)/private
            ncalrpc dir = \(home.path)/ncalrpc
            passdb backend = tdbsam:\(home.path)/private/passdb.tdb
            log file = \(home.path)/log.smbd
            map to guest = never
            load printers = no
            printcap name = /dev/null
            disable spoolss = yes
            rpc start on demand helpers = no

        """
    }

    /// The example's section as it is, but for the path and the names of account and group.
    private func section() throws -> String {
        let example = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("etc/smb.conf.example")
        let lines = try String(contentsOf: example, encoding: .utf8).split(
            separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(of: "[\(SambaServer.shareName)]") else {
            throw SambaServer.CannotRun(reason: "etc/smb.conf.example has no section [\(SambaServer.shareName)]")
        }
        let replacements = [
            "path": share.path, "valid users": "@" + account.groupName, "force user": account.name,
            "force group": account.groupName,
        ]
        return lines[start...].map { line in
            let key = line.split(separator: "=")[..<min(1, line.count)].first?.trimmingCharacters(in: .whitespaces)
            guard let key, line.contains("="), let value = replacements[key] else { return String(line) }
            return "    \(key) = \(value)"
        }.joined(separator: "\n")
    }
}

/// An account that the machine already has: tests make none.
struct HostAccount: Sendable {
    var name: String
    var user: uid_t
    var group: gid_t
    var groupName: String

    /// Three accounts of one group, none of them root: the owner of the files, and two people.
    static func ofOneGroup() throws -> [HostAccount] {
        var byGroup: [gid_t: [(name: String, user: uid_t)]] = [:]
        setpwent()
        while let entry = getpwent() {
            guard entry.pointee.pw_uid != 0, entry.pointee.pw_gid != 0 else { continue }
            byGroup[entry.pointee.pw_gid, default: []].append(
                (String(cString: entry.pointee.pw_name), entry.pointee.pw_uid))
        }
        endpwent()
        for (group, members) in byGroup.sorted(by: { $0.key > $1.key }) where members.count >= 3 {
            guard let entry = getgrgid(group) else { continue }
            let groupName = String(cString: entry.pointee.gr_name)
            return members.prefix(3).map {
                HostAccount(name: $0.name, user: $0.user, group: group, groupName: groupName)
            }
        }
        throw SambaServer.CannotRun(reason: "the machine has no group with three accounts")
    }
}
