import Foundation

extension ServiceStatus {
    /// The status as a running service last wrote it, read from outside.
    /// - Throws: `ServiceError` of code `configuration` when no service has ever run in this state directory.
    public static func current(_ layout: ServiceLayout) throws -> ServiceStatus {
        guard let data = try? Data(contentsOf: layout.statusFile) else {
            throw ServiceError(
                .configuration, "No service has written its status in the state folder yet.",
                hint: "Start it: dropreel serve --config FILE.")
        }
        do {
            return try JSONDecoder.ledger.decode(ServiceStatus.self, from: data)
        } catch {
            throw ServiceError(
                .configuration, "The status file of the service cannot be read.",
                hint: "It was written by another version; restart the service.", cause: String(describing: error))
        }
    }

    /// The text of STATUS.txt.
    /// - Parameter utcOffset: seconds east of Greenwich of the clock to show.
    public func text(utcOffset: Int) -> String { StatusText.render(self, utcOffset: utcOffset) }
}
