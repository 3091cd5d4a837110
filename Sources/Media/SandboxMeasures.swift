import CSystem

/// What stands between the process that decodes and the rest of the system.
public struct SandboxMeasures: OptionSet, Hashable, Sendable {
    public let rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Memory, processor time, descriptors, processes and files are limited.
    public static let limits = Self(bit: DROPREEL_SANDBOX_LIMITS)
    /// Nothing it starts gains rights; nobody of the same user can attach to it.
    public static let noPrivileges = Self(bit: DROPREEL_SANDBOX_NO_PRIVILEGES)
    /// Landlock lets it open, make, rename and remove nothing.
    public static let landlockFiles = Self(bit: DROPREEL_SANDBOX_LANDLOCK_FILES)
    /// Landlock lets it reach no TCP port.
    public static let landlockNetwork = Self(bit: DROPREEL_SANDBOX_LANDLOCK_NETWORK)
    /// Landlock lets it send no signal and reach no abstract socket.
    public static let landlockScope = Self(bit: DROPREEL_SANDBOX_LANDLOCK_SCOPE)
    /// seccomp lets it make only the calls that computing needs.
    public static let systemCalls = Self(bit: DROPREEL_SANDBOX_SECCOMP)

    public static let all = Self(bit: DROPREEL_SANDBOX_ALL)
    /// Without these a decoder that was taken over reaches files and other hosts.
    public static let essential: Self = [.limits, .noPrivileges, .systemCalls]

    private init(bit: dropreel_sandbox_measure) { self.init(rawValue: Int32(bit.rawValue)) }

    /// For people: the measures by name, comma-separated.
    public var text: String {
        let names: [(Self, String)] = [
            (.limits, "limits"), (.noPrivileges, "no new privileges"), (.landlockFiles, "Landlock (files)"),
            (.landlockNetwork, "Landlock (network)"), (.landlockScope, "Landlock (signals)"),
            (.systemCalls, "seccomp"),
        ]
        let found = names.filter { contains($0.0) }.map(\.1)
        return found.isEmpty ? "none" : found.joined(separator: ", ")
    }
}
