import Foundation
import Media
import WatchFolder

/// Decodes a picture or a sound on trial, in a process of its own, to tell whether it is whole.
struct InputInspector: InputInspecting {
    private let decoder: IsolatedDecoder

    init(decoder: IsolatedDecoder = IsolatedDecoder()) { self.decoder = decoder }

    /// As long as films are, in samples of each channel.
    private static let soundFrames = 20 * 48_000

    func inspect(_ snapshot: URL, as medium: InputMedium) -> InputVerdict {
        do {
            switch medium {
            case .picture: _ = try decoder.persistently { try $0.pictureSize(path: snapshot.path) }
            case .sound:
                _ = try decoder.persistently { try $0.sound(path: snapshot.path, frameCount: Self.soundFrames) }
            }
            return .complete
        } catch let error as MediaError where error.code == .incomplete {
            return .incomplete("the picture ends in the middle")
        } catch let error as MediaError where medium == .sound && error.code == .corrupt {
            // The libraries do not tell a sound that was cut from one that is damaged.
            return .incomplete(error.message)
        } catch let error as MediaError where error.code == .unavailable {
            return .broken(ServiceError(.interrupted, error.message, hint: error.hint))
        } catch let error as MediaError where error.code != .io {
            return .broken(ServiceError(.badInput, error.message, hint: error.hint))
        } catch {
            return .broken(ServiceError.wrapping(FilmEngine.serviceError(error)))
        }
    }
}

/// Reads the `dropreel` key of a film dropped back.
struct FilmReader: FilmMetadataReading {
    func dropreelMetadata(of film: URL) throws -> String? {
        try VideoMetadata.read(path: film.path).dropreel
    }
}
